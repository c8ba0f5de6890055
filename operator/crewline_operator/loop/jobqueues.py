"""Reconciles one JobQueue: observe, plan, have it carried out. What is decided is in the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from crewline_operator.effects.errors import Refused
from crewline_operator.effects.executor import Executor
from crewline_operator.jobqueue.observe import JobQueueObserver
from crewline_operator.jobqueue.plan import Plan, plan, plan_gone, plan_unreadable
from crewline_operator.kube.store import Store
from crewline_operator.loop.metrics import Metrics
from crewline_operator.model.fields import Unreadable
from crewline_operator.model.key import Key
from crewline_operator.model.settings import Settings
from crewline_operator.scaling.decide import History


class JobQueues:
    """Keeps the workers and the status of all JobQueues right."""

    def __init__(
        self,
        *,
        store: Store,
        observer: JobQueueObserver,
        executor: Executor,
        metrics: Metrics,
        settings: Settings,
        requeue: Callable[[Key, float], None],
    ) -> None:
        self._store = store
        self._observer = observer
        self._executor = executor
        self._metrics = metrics
        self._settings = settings
        self._requeue = requeue
        #: The last plan of each, for the next one to know.
        self._plans: dict[Key, Plan] = {}
        self._is_read: dict[Key, bool] = {}

    async def reconcile(self, key: Key) -> None:
        """Bring one JobQueue in line. Raises what the API server's and Redis' calls raise; then it is tried again."""
        obj = self._store.jobqueues.get(key.namespace, key.name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            await self._forget(key)
            return
        try:
            settled = await self._observer.settle(obj)
        except Unreadable as unreadable:
            await self._executor.carry_out(key, obj, plan_unreadable(obj, unreadable.fault, datetime.now(UTC)))
            return
        last = self._plans.get(key, Plan([], History()))
        observed = await self._observer.observe(
            settled,
            last.history,
            last.unclaimed_since,
            unready_since=last.unready_since,
            looks=last.looks,
            going=last.going,
        )
        jobqueue = settled.jobqueue
        planned = plan(jobqueue, observed, self._settings)
        try:
            await self._executor.carry_out(key, obj, planned.actions)
        except Refused as refused:
            planned = plan(jobqueue, replace(observed, refusal=refused.fault), self._settings)
            await self._executor.carry_out(key, obj, planned.actions)
        finally:
            self._plans[key] = planned
        is_read = observed.reading.snapshot is not None
        self._tell_schedules(key, is_read and "served" in (planned.status or {}))
        if planned.status is not None:
            desired, ready = planned.status["desiredReplicas"], planned.status["readyReplicas"]
            self._metrics.jobqueue(key, observed.reading.snapshot, desired, ready)
        if planned.check_after_seconds is not None:
            self._requeue(key, planned.check_after_seconds)

    def _tell_schedules(self, key: Key, is_read: bool) -> None:
        """Have those looked at that add to a queue when it has become one that can be added to, or is none any more."""
        if self._is_read.get(key, False) != is_read:
            self._is_read[key] = is_read
            for each in self._store.scheduledjobs_of(key.namespace, key.name):
                self._requeue(Key("ScheduledJob", key.namespace, each["metadata"]["name"]), 0)

    async def _forget(self, key: Key) -> None:
        if not await self._executor.carry_out(key, None, plan_gone(self._executor.done(key).claimed)):
            return
        self._executor.forget(key)
        self._observer.forget(key)
        self._is_read.pop(key, None)
        if self._plans.pop(key, None) is not None:
            self._metrics.forget(key)
