"""What was read of a queue: its counts and running jobs at one moment, or why they are not known. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crewline_operator.model.demand import AHEAD_MS, Demand, Limits
from crewline_operator.model.fault import Fault
from crewline_operator.model.owner import Owner


@dataclass(frozen=True)
class Target:
    """A queue to read, and where its dead letters go, "" for nowhere."""

    prefix: str
    queue: str
    dead_letter_queue: str
    #: Whether it is scaled by how long its jobs run, so that it has to be read how many end.
    measured: bool = False
    #: Whether jobs may wait for a larger worker.
    larger: bool = False


@dataclass(frozen=True)
class Running:
    """A running job, as far as a status shows it."""

    id: str
    name: str
    worker: str
    started_ms: int | None
    progress: Any


@dataclass(frozen=True)
class Snapshot:
    """Counts, and what the operator decides by. Times are Redis' epoch milliseconds."""

    now_ms: int
    waiting: int
    active: int
    delayed: int
    due: int
    completed: int
    failed: int
    dead: int
    paused: bool
    #: What holds jobs back.
    limits: Limits = field(default_factory=Limits)
    next_due_ms: int | None = None
    oldest_waiting_ms: int | None = None
    running: tuple[Running, ...] = ()
    #: When these were read, in seconds of the monotonic clock.
    running_at: float = 0.0
    #: What has happened: the counter of ids, and the last event's id where there is no job.
    mark: str = ""
    #: The counter of ids, None if it is no number.
    added: int | None = None
    #: How many jobs have ended since some read, as the kept ones tell; None where they are not kept for so long.
    ended: int | None = None
    #: When it was read, in seconds of the monotonic clock.
    read_at: float = 0.0
    #: The last event's id from before anything else was read; None if that was not asked, or can't be read.
    position: str | None = None
    #: The JobQueue that claims the queue.
    owner: Owner | None = None
    #: What the queue's workers follow, as it is stored; None if there is nothing.
    settings: str | None = None
    #: The ScheduledJobs that add to the queue, as far as Redis knows of their runs.
    schedulers: tuple[Owner, ...] = ()
    #: How many jobs wait for a larger worker, and when the first of them may be taken; None if none waits.
    larger: int = 0
    larger_from_ms: int | None = None

    @property
    def wants_larger(self) -> bool:
        """Whether a larger worker that is asked for now has a job once it is there."""
        return self.larger_from_ms is not None and self.larger_from_ms <= self.now_ms + AHEAD_MS and not self.paused

    @property
    def demand(self) -> Demand:
        oldest = self.oldest_waiting_ms
        return Demand(
            waiting=self.waiting,
            due=self.due,
            active=self.active,
            paused=self.paused,
            mark=self.mark,
            limits=self.limits,
            delayed=self.delayed,
            added=self.added,
            ended=self.ended,
            oldest_seconds=0.0 if oldest is None else max(0, self.now_ms - oldest) / 1000,
            read_ms=round(self.read_at * 1000),
        )

    @property
    def changes_in_seconds(self) -> float | None:
        """In how many seconds time alone will change the demand; None if it will not."""
        moments = (self.next_due_ms, self.larger_from_ms)
        times = [moment - self.now_ms for moment in moments if moment is not None]
        if self.limits.window_left_ms is not None:
            times.append(self.limits.window_left_ms)
        ahead = [(time - AHEAD_MS) / 1000 for time in times if time > AHEAD_MS]
        return min(ahead, default=None)

    def moved_since(self, earlier: Snapshot) -> bool:
        """Whether anything but the clock differs."""
        return self._without_clock() != earlier._without_clock()

    def _without_clock(self) -> tuple[Any, ...]:
        operator = self.owner.operator if self.owner is not None else ""
        return (
            self.waiting, self.active, self.delayed, self.due, self.completed, self.failed, self.dead, self.paused,
            self.limits.without_clock(), self.oldest_waiting_ms, self.running, self.owner, operator,
            self.settings, self.schedulers, self.larger, self.wants_larger,
        )  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """The last read of a queue: a snapshot, or why there is none."""

    snapshot: Snapshot | None = None
    fault: Fault | None = None

    def differs_from(self, earlier: Reading) -> bool:
        """Whether anything but the clock differs."""
        if self.snapshot is None or earlier.snapshot is None:
            return self != earlier
        return self.snapshot.moved_since(earlier.snapshot)

    def as_of(self, now: float, oldest_seconds: float) -> Reading:
        """This one; or, where it is older than that, that nobody knows what there is by now."""
        if self.snapshot is None or now - self.snapshot.read_at <= oldest_seconds:
            return self
        # How long ago it was moves, and a fault that moves is written at once.
        message = f"Redis was not read for more than {oldest_seconds:g} s: the operator's log tells why"
        return Reading(fault=Fault("RedisUnreachable", message))
