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

    @property
    def total(self) -> int:
        """Workers may not take new jobs from a paused queue: only what runs needs them."""
        return self.active if self.paused else self.waiting + self.due + self.active
