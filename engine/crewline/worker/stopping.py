"""How a worker stops: what runs has its grace, what has ended is written, what has not goes back.

Whoever stops a worker kills it when it takes too long. So all that follows the grace has one deadline, whatever Redis
does meanwhile: results go first, and what this worker tells of itself is gone by itself in a moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Iterable

from crewline.redis.connection import end_tasks
from crewline.wire.text import counted, loggable
from crewline.worker.calls.commit import Committer
from crewline.worker.calls.larger import LargerWatch
from crewline.worker.calls.wakeup import MarkerWatch
from crewline.worker.runs import outcomes
from crewline.worker.runs.isolation import Isolator
from crewline.worker.runs.run import Run, Status
from crewline.worker.runs.slots import Slots
from crewline.worker.runs.verdicts import Verdicts

log = logging.getLogger("crewline.worker")

#: Seconds after the grace period in which a worker has stopped. The operator gives a pod 5.
END_SECONDS = 4.0
#: The last of them, in which it closes what it has opened. Before, it writes.
CLOSE_SECONDS = 1.0
#: Seconds that a handler which was told to stop may take to clean up.
CLEAN_UP_SECONDS = 1.0
#: Jobs that were handed back of which one line tells the ids.
MOST_NAMED = 20


class Stop:
    """The end of one worker.

    Args:
        slots, isolator, verdicts, watch, committer: the worker's.
    """

    def __init__(
        self,
        slots: Slots,
        isolator: Isolator,
        verdicts: Verdicts,
        watch: MarkerWatch | LargerWatch,
        committer: Committer,
    ) -> None:
        self._slots = slots
        self._isolator = isolator
        self._verdicts = verdicts
        self._watch = watch
        self._committer = committer
        self._deadline = 0.0
        self._began = 0.0
        self._grace: asyncio.Timeout | None = None
        self._writing: asyncio.Task[None] | None = None

    def shorten(self, grace_seconds: float) -> None:
        """The grace of a stop that is under way ends so many seconds after its beginning, at once if that is over."""
        if self._grace is not None and not self._grace.expired():
            self._grace.reschedule(self._began + grace_seconds)

    async def drain(self, grace_seconds: float) -> None:
        """Lets running jobs end within the grace, hands back what does not, and writes it all."""
        slots = self._slots
        # what has not begun goes back at once
        self._isolator.hand_back()
        if slots.runs:
            log.info("stopping: %s may end within %g s", counted(len(slots.runs), "job"), grace_seconds)
        self._committer.hurry()
        self._began = _now()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds) as self._grace:
                await _ended(slots.runs)
        self._grace = None
        self._deadline = _now() + END_SECONDS
        left = [run for run in slots.mine() if run in slots.runs]
        # the job fetched last goes back first, so that they run in their old order
        returned = [run.job.id for run in reversed(left) if run.end_early(Status.RETURNED)]
        if returned:
            log.warning(
                "%s did not end within %g s: handed back: %s",
                counted(len(returned), "job"), round(_now() - self._began, 1), _named(returned),
            )  # fmt: skip
        for run in reversed(left):
            if not run.stoppable:
                # a thread can't be stopped: what it still does is fenced off
                slots.conclude(run, outcomes.back(run))
        # also those that have lost their job
        await _ended([run for run in slots.runs if run.stoppable], CLEAN_UP_SECONDS)
        for run in reversed(left):
            # neither does a clean-up that takes for ever hold a job
            slots.conclude(run, self._verdicts.ended_early(run))
        await self._write()

    async def _write(self) -> None:
        committer, until = self._committer, self._deadline - CLOSE_SECONDS
        if not committer.runs:
            # whoever has ended all tasks (asyncio.run, once its program has) has ended those that write
            self._writing = asyncio.create_task(committer.run(0), name="crewline-last-words")
        await self._watch.released(min(1.0, until - _now()))
        waiting = committer.unwritten
        while committer.pending and _now() < until:
            self._slots.work.set()
            await asyncio.sleep(0.005)
        if committer.unwritten:
            log.error(
                "%d of %d results and hand-backs could not be written: other workers will run these jobs again once "
                "their leases end", committer.unwritten, waiting,
            )  # fmt: skip
        elif committer.pending:
            log.warning("Redis did not answer: what it may have given to this worker goes back when its lease ends")

    async def close(self, closing: Coroutine[None, None, None]) -> None:
        """Carries out ``closing``, until the deadline at most."""
        if self._writing is not None:
            await end_tasks(self._writing)
        task = asyncio.create_task(closing)
        _, late = await asyncio.wait({task}, timeout=max(self._deadline - _now(), CLOSE_SECONDS / 2))
        if late:
            log.warning("Redis does not answer: this worker ends, and is gone from the list of workers in a moment")
            task.cancel()
            await asyncio.wait({task}, timeout=CLOSE_SECONDS / 2)
        else:
            task.result()


def _named(ids: list[str]) -> str:
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return ", ".join(map(loggable, ids[:MOST_NAMED])) + more


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _ended(runs: Iterable[Run], seconds: float | None = None) -> None:
    """Waits until runs have ended, so many seconds at most."""
    tasks = [run.task for run in runs if run.task]
    if tasks:
        await asyncio.wait(tasks, timeout=seconds)
