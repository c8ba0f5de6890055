"""Reconciles one ScheduledJob: look at its runs in Redis, plan, carry out. What is decided is in runs.py."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from crewline.errors import CrewlineError
from crewline.queue.queue import Queue
from crewline.redis.connection import UNAVAILABLE
from crewline.wire.text import text
from redis.asyncio import Redis

from crewline_operator.jobqueue.spec import parse_jobqueue
from crewline_operator.kube.api import SCHEDULEDJOBS, Api, ApiError
from crewline_operator.kube.conditions import Condition, find_condition, merge_conditions
from crewline_operator.kube.events import EventRecorder
from crewline_operator.kube.status import merge_patch
from crewline_operator.kube.store import Store
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.key import Key, Object
from crewline_operator.model.note import Note
from crewline_operator.redis.faults import redis_fault
from crewline_operator.redis.poller import Poller
from crewline_operator.redis.reading import Reading
from crewline_operator.scheduledjob.runs import RunPlan, plan_runs
from crewline_operator.scheduledjob.schedule import InvalidSchedule, Schedule
from crewline_operator.scheduledjob.spec import ScheduledJob, parse_scheduledjob
from crewline_operator.scheduledjob.status import RunState

KIND = "ScheduledJob"
#: Runs that have not ended are looked at this often.
FOLLOW_SECONDS = 2.0
#: All of a reconcile's calls to Redis.
REDIS_TIMEOUT_SECONDS = 10.0
#: A timer of the operator must not come before Redis' clock says that a run is due.
LATE_SECONDS = 0.02


class ScheduledJobController:
    """Adds the jobs of all ScheduledJobs."""

    def __init__(
        self,
        *,
        api: Api,
        store: Store,
        redis_of: Callable[[Key], Poller | None],
        events: EventRecorder,
        requeue: Callable[[Key, float], None],
    ) -> None:
        self._api = api
        self._store = store
        self._redis_of = redis_of
        self._events = events
        self._requeue = requeue
        #: Where each one's next run is, to take it back when the object is deleted.
        self._placed: dict[Key, tuple[Key, str]] = {}

    async def reconcile(self, key: Key) -> None:
        """Bring one ScheduledJob in line. Raises what the API server's calls raise; then it is to be tried again."""
        obj = self._store.scheduledjobs.get(key.namespace, key.name)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            await self._take_back(key)
            return
        scheduled = parse_scheduledjob(obj)
        status: Mapping[str, Any] = obj.get("status", {})
        try:
            schedule = Schedule(scheduled.schedule, scheduled.time_zone)
        except InvalidSchedule as error:
            await self._report(key, obj, scheduled, dict(status), Fault("InvalidSchedule", str(error)))
            return
        queue = self._queue(scheduled)
        if isinstance(queue, Fault):
            await self._report(key, obj, scheduled, dict(status), queue)
            self._requeue(key, FAULT_CHECK_SECONDS)
            return
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                now, planned = await self._run(key, scheduled, schedule, status, queue)
        except CrewlineError as error:
            await self._report(key, obj, scheduled, dict(status), Fault("InvalidJob", f"spec.job: {error}"))
            return
        except UNAVAILABLE as error:
            fault = redis_fault(error, f"of JobQueue {scheduled.queue_ref!r}")
            await self._report(key, obj, scheduled, dict(status), fault)
            self._requeue(key, FAULT_CHECK_SECONDS)
            return
        never = planned.next_run is None and not scheduled.suspend
        fault_or_none = Fault("NeverRuns", "spec.schedule names no day that comes in 50 years") if never else None
        await self._report(key, obj, scheduled, planned.status, fault_or_none)
        for note in planned.notes:
            self._events.record(KIND, obj, note)
        if planned.next_run is not None:
            self._requeue(key, max(0.0, (planned.next_run - now).total_seconds()) + LATE_SECONDS)
        if planned.status["activeCount"]:
            self._requeue(key, FOLLOW_SECONDS)

    def _queue(self, scheduled: ScheduledJob) -> Queue | Fault:
        """The queue that gets the jobs, or why there is none."""
        obj = self._store.jobqueues.get(scheduled.namespace, scheduled.queue_ref)
        if obj is None:
            return Fault(
                "QueueNotFound",
                f"spec.queueRef: there is no JobQueue {scheduled.queue_ref!r} in namespace {scheduled.namespace!r}: "
                "create it, or name another",
            )
        queue_key = Key("JobQueue", scheduled.namespace, scheduled.queue_ref)
        poller = self._redis_of(queue_key)
        if poller is None:
            reachable = find_condition(obj.get("status", {}), "RedisReachable")
            return Fault(
                "QueueNotReady",
                f"JobQueue {scheduled.queue_ref!r} has no Redis yet: {reachable.get('message', 'it is new')}",
            )
        reading: Reading = poller.reading(queue_key)
        if reading.fault is not None:
            return reading.fault
        jobqueue = parse_jobqueue(obj)
        return Queue(jobqueue.queue, redis=poller.redis, prefix=jobqueue.prefix)

    async def _run(
        self, key: Key, scheduled: ScheduledJob, schedule: Schedule, status: Mapping[str, Any], queue: Queue
    ) -> tuple[datetime, RunPlan]:
        now = await _redis_now(queue.redis)
        ids = [run["id"] for run in status.get("active") or ()]
        placed = status.get("placed")
        if placed and placed.get("queueRef") == scheduled.queue_ref:
            ids.append(placed["id"])
        runs = {job_id: await _run_state(queue, job_id) for job_id in ids}
        planned = plan_runs(scheduled, schedule, status, runs, now)
        for job_id in planned.remove:
            await queue.remove(job_id)
        if planned.remove_elsewhere is not None:
            other, job_id = planned.remove_elsewhere
            await self._remove(Key("JobQueue", scheduled.namespace, other), job_id)
        options: dict[str, Any] = {} if scheduled.attempts is None else {"attempts": scheduled.attempts}
        for add in planned.add:
            await queue.add(
                scheduled.job_name,
                dict(scheduled.data),
                job_id=add.job_id,
                # A run that is due already must not be delayed: it would lose its priority's place.
                delay=add.run if add.run > now else 0,
                priority=scheduled.priority,
                **options,
            )
        if "placed" in planned.status:
            queue_key = Key("JobQueue", scheduled.namespace, scheduled.queue_ref)
            self._placed[key] = (queue_key, planned.status["placed"]["id"])
        else:
            self._placed.pop(key, None)
        return now, planned

    async def _report(
        self, key: Key, obj: Object, scheduled: ScheduledJob, wanted: dict[str, Any], fault: Fault | None
    ) -> None:
        """Write the status with its conditions, if anything in it moved, and an Event for a new fault."""
        earlier: Mapping[str, Any] = obj.get("status", {})
        wanted["observedGeneration"] = scheduled.generation
        if fault is not None:
            ready = Condition("Ready", False, fault.reason, fault.message)
        elif scheduled.suspend:
            ready = Condition("Ready", False, "Suspended", "spec.suspend is true: set it to false to go on")
        else:
            ready = Condition("Ready", True, "Scheduled", "the next run is on its way")
        message = "spec.suspend is true: no runs" if scheduled.suspend else "spec.suspend is false"
        reason = "Suspended" if scheduled.suspend else "NotSuspended"
        # Suspending takes effect with the plan that takes the placed run back, so a fault leaves it as it was.
        suspended = Condition("Suspended", scheduled.suspend, reason, message)
        conditions = [ready] if fault is not None and fault.reason != "NeverRuns" else [ready, suspended]
        kept = [each for each in earlier.get("conditions") or () if each.get("type") == "Suspended"]
        merged = merge_conditions(earlier.get("conditions") or (), conditions, scheduled.generation, datetime.now(UTC))
        wanted["conditions"] = merged if len(conditions) == 2 else merged + [dict(each) for each in kept]
        patch = merge_patch(earlier, wanted)
        if patch:
            try:
                written = await self._api.patch_status(SCHEDULEDJOBS, key.namespace, key.name, patch)
            except ApiError as error:
                if error.not_found:
                    # It was deleted meanwhile; the watch will say so.
                    return
                raise
            self._store.scheduledjobs.put(written)
        if fault is not None and find_condition(earlier, "Ready").get("reason") != fault.reason:
            self._events.record(KIND, obj, Note("Warning", fault.reason, fault.message))

    async def _take_back(self, key: Key) -> None:
        """The object is gone: its next run must not come. Best effort, since nothing holds up a deletion."""
        placed = self._placed.pop(key, None)
        if placed is not None:
            await self._remove(*placed)

    async def _remove(self, queue_key: Key, job_id: str) -> None:
        obj = self._store.jobqueues.get(queue_key.namespace, queue_key.name)
        poller = self._redis_of(queue_key)
        if obj is None or poller is None:
            return
        jobqueue = parse_jobqueue(obj)
        with contextlib.suppress(*UNAVAILABLE):
            async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                await Queue(jobqueue.queue, redis=poller.redis, prefix=jobqueue.prefix).remove(job_id)


async def _redis_now(redis: Redis) -> datetime:
    """Redis' clock: the one that delayed jobs become due by."""
    seconds, microseconds = await redis.time()
    return datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)


async def _run_state(queue: Queue, job_id: str) -> RunState:
    state = await queue.job_state(job_id)
    if state not in ("completed", "failed"):
        return RunState(state)
    finished, reason = await queue.redis.hmget(queue.keys.job(job_id), ["finishedOn", "failedReason"])
    return RunState(
        state,
        int(finished) if finished and finished.isdigit() else None,
        text(reason) if reason and state == "failed" else None,
    )
