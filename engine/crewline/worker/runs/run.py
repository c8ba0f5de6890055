"""One run of one job: from the fetch until what it ended with is known."""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass
from typing import NamedTuple

from crewline.queue.job import Job


class Status(enum.Enum):
    """Where a run is; it only ever goes down this list."""

    #: Fetched, and not begun: a suspect waits for a process of its own.
    WAITING = enum.auto()
    RUNNING = enum.auto()
    #: Told from outside to end: its job fails with the reason that was given.
    CANCELLED = enum.auto()
    #: The worker stops: its job goes back, without an attempt.
    RETURNED = enum.auto()
    #: What it ended with is known; a thread that can't be stopped may still be at it.
    ENDED = enum.auto()
    #: Another worker has the job: how this run ends is nobody's business any more.
    LOST = enum.auto()


class Lease(NamedTuple):
    """What fences a run.

    Attributes:
        token: of the fetch.
        started: which start of the job it was, as extend_leases takes it; '' for a lease that is not to be taken again
            once it ran out.
    """

    token: str
    started: str


@dataclass(slots=True, eq=False)
class Run:
    """A run.

    Attributes:
        job: what runs.
        lease: what fences all that it writes.
        suspect: how often the job was with a worker that died; 0 for all but a few.
        larger: of what its job died for want of memory, since when its place is with a larger worker; '' for most.
        plain: its job has had no attempt, and has no deduplication id.
        alone: which start it is, where its job was told that nothing runs beside it, so that a death counts against it.
        status: where it is.
        reason: why it was cancelled.
        task: what its handler runs in.
        begun: the task has made its first step.
        stoppable: the task can be cancelled; a thread's can't.
        taken_again: its lease had run out and was taken again once: that is not done twice.
        unknown: Redis may have its result already: the answer was lost.
        refused: why Redis refused its result by itself; '' if it was refused with others, None if it was not.
    """

    job: Job
    lease: Lease
    suspect: int = 0
    larger: str = ""
    plain: bool = False
    alone: str = ""
    status: Status = Status.WAITING
    reason: str = ""
    task: asyncio.Task[None] | None = None
    begun: bool = False
    stoppable: bool = True
    taken_again: bool = False
    unknown: bool = False
    refused: str | None = None

    @property
    def told_apart(self) -> bool:
        """Whether its job's hash tells of workers that died with it, which is over once it has ended."""
        return self.suspect > 0 or self.larger != ""

    @property
    def open(self) -> bool:
        """Whether nobody has told it to end, and it has not."""
        return self.status in (Status.WAITING, Status.RUNNING)

    def end_early(self, status: Status, reason: str = "") -> bool:
        """Ends it from outside, the one way there is: CANCELLED with a reason, RETURNED or LOST.

        Returns False where it ends already, for another reason or by itself. What can be stopped is stopped; the rest
        (a thread, one that has not begun) is for the caller to conclude.
        """
        if not self.open and (status is not Status.LOST or self.status in (Status.ENDED, Status.LOST)):
            return False
        self.status, self.reason = status, reason
        # a task that is cancelled before its first step runs nothing, not even what gives its slot back
        if self.stoppable and self.begun and self.task and self.task is not asyncio.current_task():
            self.task.cancel()
        return True
