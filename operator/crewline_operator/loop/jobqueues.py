"""Reconciles one JobQueue: observe, plan, have it carried out. What is decided is in the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from crewline_operator.effects.executor import Executor, Refused
from crewline_operator.jobqueue.observe import JobQueueObserver
from crewline_operator.jobqueue.plan import Plan, plan, plan_gone
from crewline_operator.jobqueue.spec import parse_jobqueue
from crewline_operator.kube.store import Store
from crewline_operator.loop.metrics import Metrics
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

    async def reconcile(self, key: Key) -> None:
        """Bring one JobQueue in line. Raises what the API server's and Redis' calls raise; then it is tried again."""
        obj = self._store.jobqueues.get(key.namespace, key.name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            await self._forget(key)
            return
        jobqueue = parse_jobqueue(obj)
        last = self._plans.get(key, Plan([], History()))
        observed = await self._observer.observe(obj, jobqueue, last.history, last.unclaimed_since)
        planned = plan(jobqueue, observed, self._settings)
        try:
            await self._executor.carry_out(key, obj, planned.actions)
        except Refused as refused:
            planned = plan(jobqueue, replace(observed, refusal=refused.fault), self._settings)
            await self._executor.carry_out(key, obj, planned.actions)
        finally:
            self._plans[key] = planned
        if planned.status is not None:
            desired, ready = planned.status["desiredReplicas"], planned.status["readyReplicas"]
            self._metrics.jobqueue(key, observed.reading.snapshot, desired, ready)
        if planned.check_after_seconds is not None:
            self._requeue(key, planned.check_after_seconds)

    async def _forget(self, key: Key) -> None:
        await self._executor.carry_out(key, None, plan_gone(self._executor.done(key).claimed))
        self._executor.forget(key)
        self._observer.forget(key)
        if self._plans.pop(key, None) is not None:
            self._metrics.forget(key)
