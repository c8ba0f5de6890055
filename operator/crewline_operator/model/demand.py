"""How much there is to do in a queue: what its Redis was read for, and what its workers are scaled by."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Demand:
    """Jobs that need a worker now. `waiting` includes the prioritized ones."""

    waiting: int
    due: int
    active: int
    paused: bool = False
    #: Another one for each job that was added and each that was run, also between two reads.
    mark: str = ""
    #: Jobs that wait for their time, the due ones among them.
    delayed: int = 0
    #: How many jobs were ever added: the queue's counter of ids. None if that can't be read.
    added: int | None = None
    #: How long the job has waited that has waited longest; 0 if none waits.
    oldest_seconds: float = 0.0
    #: Redis' clock at the read, in epoch milliseconds. It may be set back.
    read_ms: int = 0

    @property
    def total(self) -> int:
        """Workers may not take new jobs from a paused queue: only what runs needs them."""
        return self.active if self.paused else self.waiting + self.due + self.active

    @property
    def queued(self) -> int:
        """Those of `total` that no worker runs yet."""
        return self.total - self.active
