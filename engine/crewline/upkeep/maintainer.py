"""What a worker does for its queue beside the jobs: stalled jobs, schedules, retention on an idle queue.

Every worker of a queue does this; gates in Redis see to it that each round is made once, whoever comes first.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from redis.exceptions import ResponseError

from crewline.queue.job import Job
from crewline.queue.queue import Queue
from crewline.redis.connection import UNAVAILABLE, end_tasks
from crewline.upkeep.complaints import Complaints
from crewline.wire.retention import Keep
from crewline.wire.text import counted

log = logging.getLogger("crewline.worker")

#: Seconds between two sweeps of a queue.
SWEEP_SECONDS = 60.0
#: Milliseconds for which the one who begins a sweep keeps others from it: the next is due for all of them by then.
ROUND_MS = round(SWEEP_SECONDS * 900)
#: Calls that one sweep makes at most, a state; each looks at 200 jobs.
SWEEP_CALLS = 20
#: Seconds that a schedule's next iteration may take to be placed once the worker has stopped.
CLOSE_SECONDS = 2.0


class QueueMaintainer:
    """Keeps one queue in order.

    Args:
        queue: the queue.
        interval_seconds: how often jobs without a lease are looked for.
        lease_seconds: how long a lease holds without a renewal.
        max_crashes: how often a job may take its worker down before it fails for good.
        keep_completed, keep_failed: retention for jobs that do not bring their own; None: they stay.
    """

    def __init__(
        self,
        queue: Queue,
        interval_seconds: float,
        lease_seconds: float,
        max_crashes: int,
        keep_completed: Keep | None,
        keep_failed: Keep | None,
    ) -> None:
        self._queue = queue
        self._lease_ms = round(lease_seconds * 1000)
        self._interval_seconds = interval_seconds
        self._max_crashes = max_crashes
        self.retain(keep_completed, keep_failed)
        self._complaints = Complaints(queue.name)
        queue.scripts.on_refused = self._complaints.beside
        self._tasks: set[asyncio.Task[None]] = set()

    def retain(self, completed: Keep | None, failed: Keep | None) -> None:
        """Sets retention for jobs that do not bring their own."""
        self._keep = {"completed": completed, "failed": failed}

    def advance(self, schedule_id: str, job: Job) -> None:
        """An iteration was fetched: places the next one, beside the handler."""
        self._spawn(self._advance(schedule_id, job))

    async def recover(self) -> None:
        """Gives jobs of dead workers to others; runs until cancelled."""
        while True:
            try:
                await self._look()
                self._complaints.over("look for jobs that lost their worker")
            except UNAVAILABLE as error:
                self._complaints.tell("look for jobs that lost their worker", error)
            await asyncio.sleep(self._interval_seconds)

    async def _look(self) -> None:
        name = self._queue.name
        found = await self._queue.scripts.recover_stalled(
            # nobody looks within this time
            round(self._interval_seconds * 1000), self._max_crashes, lease_ms=self._lease_ms,
        )  # fmt: skip
        for job_id in found.back:
            log.warning("job %s of queue %s lost its worker: put back", job_id, name)
        for job_id in found.doomed:
            log.error(
                "job %s of queue %s: %d workers or more went silent while it was all they ran: it will fail",
                job_id, name, self._max_crashes,
            )  # fmt: skip
        for job_id in found.unbegun:
            log.info("job %s of queue %s was fetched for a worker that sleeps: put back", job_id, name)

    async def sweep(self) -> None:
        """Keeps retention true and schedules going on an idle queue; runs until cancelled."""
        while True:
            await self.sweep_once()
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep_once(self) -> None:
        """One round of it, unless somebody else was first in this one."""
        try:
            begins = await self._queue.scripts.begin_sweep(ROUND_MS)
            self._complaints.over("begin a sweep")
        except UNAVAILABLE as error:
            begins = False
            self._complaints.tell("begin a sweep", error)
        for what, step in self._steps().items() if begins else ():
            # one that Redis refuses (a key of another type) holds up no other
            try:
                await step()
                self._complaints.over(what)
            except UNAVAILABLE as error:
                self._complaints.tell(what, error)

    def _steps(self) -> dict[str, Callable[[], Awaitable[None]]]:
        return {
            "keep the retention of completed jobs": functools.partial(self._sweep, "completed"),
            "keep the retention of failed jobs": functools.partial(self._sweep, "failed"),
            "keep schedules going": self._heal,
            "settle flows whose producer died": self._settle_flows,
        }

    async def _sweep(self, state: str) -> None:
        for _ in range(SWEEP_CALLS):
            _, more = await self._queue.scripts.sweep_jobs(state, self._keep[state])
            if not more:
                break

    async def _heal(self) -> None:
        for job_id in await self._queue.schedules.heal(on_error=self._cant_continue):
            log.warning("queue %s: schedule iteration %s had been lost: placed again", self._queue.name, job_id)

    async def _settle_flows(self) -> None:
        settled = await self._queue.settle_flows(
            on_error=lambda root_id, error: self._complaints.tell(f"settle flow {root_id}", error)
        )
        for root_id in settled.released:
            log.warning(
                "queue %s: flow %s: its producer died when it was all there: it runs", self._queue.name, root_id
            )
        for root_id, gone in settled.removed.items():
            log.error(
                "queue %s: flow %s was never all there, since its producer died: its %s removed",
                self._queue.name, root_id, counted(gone, "job is", "jobs are"),
            )  # fmt: skip

    def _cant_continue(self, schedule_id: str, error: Exception) -> None:
        log.error("queue %s: schedule %s can't be continued: %r", self._queue.name, schedule_id, error)

    async def close(self) -> None:
        """Lets what was begun end: a schedule whose next iteration is not placed rests until a sweep finds it."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS)
        await end_tasks(*self._tasks)

    async def _advance(self, schedule_id: str, job: Job) -> None:
        what = f"go on with schedule {schedule_id}"
        try:
            await self._queue.schedules.advance(schedule_id, job.id, job.opts)
            self._complaints.over(what)
        except ResponseError as error:
            # the sweep tries again
            self._complaints.tell(what, error)
        except UNAVAILABLE:
            log.warning(
                "schedule %s of queue %s: Redis is away, the sweep will go on with it", schedule_id, self._queue.name
            )
        except Exception as error:
            # whatever another client may have written: a moment that no calendar has, a pattern that cronsim chokes on
            self._cant_continue(schedule_id, error)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
