"""Reconciles one ScheduledJob: observe, plan, have it carried out. What is decided is in the plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from crewline_operator.effects.errors import Refused
from crewline_operator.effects.executor import Executor
from crewline_operator.kube.store import Store
from crewline_operator.model.fault import FAULT_CHECK_SECONDS
from crewline_operator.model.fields import Unreadable
from crewline_operator.model.key import Key
from crewline_operator.model.settings import Settings
from crewline_operator.redis.bulkhead import Busy
from crewline_operator.scheduledjob.observe import ScheduledJobObserver
from crewline_operator.scheduledjob.observed import Placed
from crewline_operator.scheduledjob.plan import plan, plan_gone, plan_unreadable
from crewline_operator.scheduledjob.spec import parse_scheduledjob


class ScheduledJobs:
    """Has the jobs of all ScheduledJobs added."""

    def __init__(
        self,
        *,
        store: Store,
        observer: ScheduledJobObserver,
        executor: Executor,
        settings: Settings,
        requeue: Callable[[Key, float], None],
    ) -> None:
        self._store = store
        self._settings = settings
        self._observer = observer
        self._executor = executor
        self._requeue = requeue
        #: Where each one's next run is, to take it back when the object is deleted.
        self._placed: dict[Key, Placed | None] = {}

    async def reconcile(self, key: Key) -> None:
        """Bring one ScheduledJob in line. Raises what the API server's calls raise; then it is to be tried again."""
        obj = self._store.scheduledjobs.get(key.namespace, key.name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            if await self._executor.carry_out(key, None, plan_gone(self._placed.get(key))):
                self._placed.pop(key, None)
                self._executor.forget(key)
            return
        try:
            scheduled = parse_scheduledjob(obj)
            if self._observer.is_others(scheduled):
                # It looks after the runs, too. That it is gone is seen with the JobQueue.
                self._requeue(key, FAULT_CHECK_SECONDS)
                return
            observed = await self._observer.observe(obj, scheduled, self._placed.get(key))
        except Unreadable as unreadable:
            await self._executor.carry_out(key, obj, plan_unreadable(obj, unreadable.fault, datetime.now(UTC)))
            return
        except Busy:
            # There is no room at its Redis: it is looked at again when there is.
            return
        planned = plan(scheduled, observed, self._settings)
        try:
            await self._executor.carry_out(key, obj, planned.actions)
        except Refused as refused:
            planned = plan(scheduled, replace(observed, refusal=refused.fault), self._settings)
            await self._executor.carry_out(key, obj, planned.actions)
        finally:
            self._placed[key] = planned.placed
        if planned.check_after_seconds is not None:
            self._requeue(key, planned.check_after_seconds)
