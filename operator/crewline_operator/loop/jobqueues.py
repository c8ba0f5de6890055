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
from crewline_operator.redis.reading import Snapshot
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
        #: The uids of the ScheduledJobs that a queue knew of when it was read last; None if it could not be read.
        self._schedulers: dict[Key, frozenset[str] | None] = {}

    def is_left(self, key: Key) -> bool:
        """Whether another operator looks after it, as far as was seen last."""
        return key in self._plans and bool(self._plans[key].left_to)

    async def reconcile(self, key: Key) -> None:
        """Bring one JobQueue in line. Raises what the API server's and Redis' calls raise; then it is tried again."""
        obj = self._store.jobqueues.get(key.namespace, key.name)
        if obj is None:
            await self._forget(key)
            return
        try:
            settled = await self._observer.settle(obj)
        except Unreadable as unreadable:
            await self._executor.carry_out(key, obj, plan_unreadable(obj, unreadable.fault, datetime.now(UTC)))
            return
        last = self._plans.get(key, Plan([], History()))
        leads = self._executor.leads
        observed = await self._observer.observe(
            settled,
            last.history,
            last.unclaimed_since,
            unready_since=last.unready_since,
            looks=leads and last.looks,
            telling=last.telling,
            idle_since=last.idle_since,
            told_operator=last.left_to,
        )
        jobqueue = settled.jobqueue
        planned = plan(jobqueue, observed, self._settings)
        try:
            await self._executor.carry_out(key, obj, planned.actions)
        except Refused as refused:
            planned = plan(jobqueue, replace(observed, refusal=refused.fault), self._settings)
            await self._executor.carry_out(key, obj, planned.actions)
        finally:
            # Nothing of a plan is done by who does not lead, but what it has read of the past is as good as any.
            self._plans[key] = planned if leads else Plan([], planned.history)
        # Before it is told which queue is served nobody adds to it: else a run could be left in another one.
        serves = "served" in (planned.status or {})
        self._tell_schedules(key, observed.reading.snapshot if serves else None)
        if planned.status is not None and leads:
            # Two that tell of a queue would be counted twice.
            desired, ready = planned.status["desiredReplicas"], planned.status["readyReplicas"]
            self._metrics.jobqueue(key, observed.reading.snapshot, desired, ready)
        # One that came too late is followed by another as soon as that may help.
        if planned.check_after_seconds is not None and not self._executor.done(key).changed:
            self._requeue(key, planned.check_after_seconds)

    def _tell_schedules(self, key: Key, snapshot: Snapshot | None) -> None:
        """Have those looked at that add to a queue when it can be added to or no more, or has lost what they added."""
        before = self._schedulers.get(key)
        now = None if snapshot is None else frozenset(owner.uid for owner in snapshot.schedulers)
        self._schedulers[key] = now
        for each in self._store.scheduledjobs_of(key.namespace, key.name):
            # A Redis that was flushed has no run of it any more.
            lost = before is not None and now is not None and each["metadata"]["uid"] in before - now
            if lost or (before is None) != (now is None):
                self._requeue(Key("ScheduledJob", key.namespace, each["metadata"]["name"]), 0)

    async def _forget(self, key: Key) -> None:
        if not await self._executor.carry_out(key, None, plan_gone(self._executor.done(key).claimed)):
            return
        self._executor.forget(key)
        self._observer.forget(key)
        self._schedulers.pop(key, None)
        if self._plans.pop(key, None) is not None:
            self._metrics.forget(key)
