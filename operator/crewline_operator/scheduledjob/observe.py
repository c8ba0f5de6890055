"""Gathers what a plan for a ScheduledJob is made from: its JobQueue, and its runs as they are in Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from crewline.queue.queue import Queue
from crewline.redis.connection import UNAVAILABLE
from crewline.redis.topology import time_at
from crewline.wire.text import text

from crewline_operator.effects.done import Done
from crewline_operator.jobqueue.served import served_in
from crewline_operator.jobqueue.serving import serving
from crewline_operator.kube.conditions import find_condition
from crewline_operator.kube.store import Store
from crewline_operator.model.fault import Fault
from crewline_operator.model.fields import Unreadable
from crewline_operator.model.key import Key, Object, status_of
from crewline_operator.model.marks import MARK_MAX_BYTES, marks_key, read_mark
from crewline_operator.model.owner import Owner
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.redis.bounded import NUMBER_MAX_BYTES, Fields, TooLarge, known, read_fields
from crewline_operator.redis.bulkhead import Bulkheads
from crewline_operator.redis.faults import redis_fault
from crewline_operator.redis.pollers import Pollers
from crewline_operator.scheduledjob.observed import Observed, Placed, Runs, RunState
from crewline_operator.scheduledjob.spec import ScheduledJob, check_status

#: All of an observation's calls to Redis.
REDIS_TIMEOUT_SECONDS = 10.0
QUEUE_NOT_READY = "QueueNotReady"
#: Bytes that are read of a job that has ended. The engine keeps 8,000 characters of a reason.
ENDED = {"finishedOn": NUMBER_MAX_BYTES, "failedReason": 32768}


class ScheduledJobObserver:
    """Observes ScheduledJobs and changes nothing."""

    def __init__(
        self,
        *,
        store: Store,
        pollers: Pollers,
        bulkheads: Bulkheads,
        done: Callable[[Key], Done],
        cluster_id: str,
        operator: str,
    ) -> None:
        self._operator = operator
        self._cluster_id = cluster_id
        self._store = store
        self._pollers = pollers
        self._bulkheads = bulkheads
        self._done = done

    def is_others(self, scheduled: ScheduledJob) -> bool:
        """Whether another operator looks after the JobQueue that gets the jobs, as its claim says."""
        snapshot = self._pollers.reading(Key("JobQueue", scheduled.namespace, scheduled.queue_ref)).snapshot
        operator = snapshot.owner.operator if snapshot is not None and snapshot.owner is not None else ""
        return operator not in ("", self._operator)

    async def observe(self, obj: Object, scheduled: ScheduledJob, placed: Placed | None) -> Observed:
        """What a plan for `scheduled` is made from. Never raises for a Redis that does not answer: that is told.

        Raises Unreadable if runs can't be decided by the status, and Busy.
        """
        status = status_of(obj)
        check_status(status)
        key = Key("ScheduledJob", scheduled.namespace, scheduled.name)
        placed_in = status.get("placed", {}).get("queueRef", scheduled.queue_ref)
        queue = self._queue(scheduled)
        return Observed(
            now=datetime.now(UTC),
            me=Owner(self._cluster_id, scheduled.namespace, scheduled.name, scheduled.uid),
            runs=queue if isinstance(queue, Fault) else await self._runs(key, scheduled, status, queue),
            status=status,
            earlier_queue=self._ref(scheduled.namespace, placed_in) if placed_in != scheduled.queue_ref else None,
            placed=placed,
            status_age_seconds=self._done(key).status_age_seconds(time.monotonic()),
        )

    def _queue(self, scheduled: ScheduledJob) -> QueueRef | Fault:
        """The queue that gets the jobs, or why there is none."""
        name = scheduled.queue_ref
        jobqueue = self._store.jobqueues.get(scheduled.namespace, name)
        if jobqueue is None:
            return Fault(
                "QueueNotFound",
                f"spec.queueRef: there is no JobQueue {name!r} in namespace {scheduled.namespace!r}: "
                "create it, or name another",
            )
        try:
            ref = serving(jobqueue).queue_ref
        except Unreadable as unreadable:
            return Fault(QUEUE_NOT_READY, f"JobQueue {name!r} can't be read: {unreadable.fault.message}")
        if self._pollers.followed(ref.jobqueue) is None:
            return self._not_ready(scheduled)
        fault = self._pollers.reading(ref.jobqueue).fault
        if fault is None and served_in(status_of(jobqueue)) is None:
            # Not before that is told: a run that is added would be left behind by an edit of the JobQueue.
            return self._not_ready(scheduled)
        return fault or ref

    def _not_ready(self, scheduled: ScheduledJob) -> Fault:
        jobqueue = self._store.jobqueues.get(scheduled.namespace, scheduled.queue_ref) or {"metadata": {}}
        degraded = find_condition(status_of(jobqueue), "Degraded")
        # What it says may be of an earlier spec, or of before the operator came.
        is_told = degraded.get("status") == "True"
        is_of_now = degraded.get("observedGeneration") == jobqueue["metadata"].get("generation")
        why = degraded.get("message") if is_told and is_of_now else "it has not been looked at yet"
        return Fault(QUEUE_NOT_READY, f"JobQueue {scheduled.queue_ref!r} has no queue in Redis yet: {why}")

    def _ref(self, namespace: str, name: str) -> QueueRef | None:
        obj = self._store.jobqueues.get(namespace, name)
        try:
            return serving(obj).queue_ref if obj is not None else None
        except Unreadable:
            return None

    async def _runs(self, key: Key, scheduled: ScheduledJob, status: Mapping[str, Any], ref: QueueRef) -> Runs | Fault:
        followed, queue = self._pollers.followed(ref.jobqueue), self._pollers.queue(ref)
        if followed is None or queue is None:
            return self._not_ready(scheduled)
        endpoint, _ = followed
        ids = [run["id"] for run in status.get("active") or ()]
        placed = status.get("placed")
        if placed and placed.get("queueRef") == scheduled.queue_ref:
            ids.append(placed["id"])
        try:
            with self._bulkheads.enter(endpoint, key):
                async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                    seconds, microseconds = await time_at(queue.redis, queue.keys.base)
                    at = Fields(marks_key(ref.prefix, ref.queue), {scheduled.uid: MARK_MAX_BYTES})
                    ((stored,),) = await read_fields(queue.redis, [at])
                    mark = read_mark(scheduled.uid, known(stored))
                    if mark is not None:
                        ids += [scheduled.job_id_ms(ms) for ms in (mark.decided_ms, mark.ahead_ms) if ms]
                    states = {job_id: await _run_state(queue, job_id) for job_id in dict.fromkeys(ids)}
        except UNAVAILABLE as error:
            return redis_fault(error, f"of JobQueue {scheduled.queue_ref!r}")
        return Runs(ref, datetime.fromtimestamp(seconds + microseconds / 1e6, UTC), states, mark)


async def _run_state(queue: Queue, job_id: str) -> RunState:
    state = await queue.job_state(job_id)
    if state not in ("completed", "failed"):
        return RunState(state)
    ((finished, reason),) = await read_fields(queue.redis, [Fields(queue.keys.job(job_id), ENDED)])
    told = reason.of("reason") if isinstance(reason, TooLarge) else text(reason or b"")
    return RunState(
        state,
        int(finished) if isinstance(finished, bytes) and finished.isdigit() else None,
        told if told and state == "failed" else None,
    )
