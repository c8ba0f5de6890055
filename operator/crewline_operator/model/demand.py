"""How much there is to do in a queue: what its Redis was read for, and what its workers are scaled by. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

#: A worker that is asked for now fetches about so much later: what is due by then needs it already.
AHEAD_MS = 2000
#: What a client that limits a queue by hand writes for the jobs that were started in the window: 2^53 - 1.
BY_HAND = 9007199254740991


@dataclass(frozen=True)
class Limits:
    """What holds the jobs of a queue back, over all its workers."""

    #: How many may run at once; None for no limit.
    at_once: int | None = None
    #: How many may be started in a window, and how long that is; None for no rate.
    most: int | None = None
    window_ms: int | None = None
    #: How many were started in the window that runs, and what is left of it; None if none runs.
    started: int = 0
    window_left_ms: int | None = None

    @property
    def startable(self) -> int | None:
        """How many jobs may be started before a worker that is asked for now could start another; None for any."""
        by_hand = self.started >= BY_HAND
        if self.window_left_ms is None:
            return None if self.most is None else self.most * (1 + self._windows(AHEAD_MS))
        if by_hand or self.most is not None:
            now = 0 if by_hand or self.most is None else max(0, self.most - self.started)
            if self.window_left_ms > AHEAD_MS:
                return now
            if self.most is not None:
                return now + self.most * (1 + self._windows(AHEAD_MS - self.window_left_ms))
        # The rate is a worker's own, and only it knows how much that is.
        return None

    def _windows(self, ms: int) -> int:
        """How many windows may begin in a time, beside the one that begins with it."""
        return ms // max(1, self.window_ms or 1)

    def without_clock(self) -> tuple[int | None, ...]:
        """What differs only if something has happened."""
        return self.at_once, self.most, self.window_ms, self.startable


@dataclass(frozen=True)
class Demand:
    """Jobs that need a worker. `waiting` includes the prioritized ones, `due` those that are due within AHEAD_MS."""

    waiting: int
    due: int
    active: int
    paused: bool = False
    #: Another one for each job that was added and each that was run, also between two reads.
    mark: str = ""
    limits: Limits = field(default_factory=Limits)
    #: Jobs that wait for their time, the due ones among them.
    delayed: int = 0
    #: How many jobs were ever added: the queue's counter of ids. None if that can't be read.
    added: int | None = None
    #: How many jobs have ended since some moment, as far as those that are kept tell of it; None where they do not.
    ended: int | None = None
    #: How long the job has waited that has waited longest; 0 if none waits.
    oldest_seconds: float = 0.0
    #: When it was read, in milliseconds of the reader's monotonic clock: Redis' may be set, or be another server's.
    read_ms: int = 0

    @property
    def total(self) -> int:
        """Those that run, and those that may be started. Workers may not take new jobs from a paused queue."""
        return self.active + self.ready - self.held

    @property
    def ready(self) -> int:
        """Those that a worker would take, were there no limits."""
        return 0 if self.paused else self.waiting + self.due

    @property
    def held(self) -> int:
        """How many of them the limits hold back, so that no worker is needed for them."""
        places = [self.ready]
        if self.limits.at_once is not None:
            places.append(max(0, self.limits.at_once - self.active))
        if (startable := self.limits.startable) is not None:
            places.append(startable)
        return self.ready - min(places)

    @property
    def queued(self) -> int:
        """Those of `total` that no worker runs yet."""
        return self.total - self.active
