"""What two workers have in hand: the runs of jobs, and what their calls were answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crewline.redis.scripts import Fetched

from tests.redis.model.picture import JobKey, Picture


@dataclass(eq=False)
class Held:
    """A job that a worker has fetched, with its hash as the fetch told it."""

    key: JobKey
    token: str
    fields: dict[bytes, Any]

    @property
    def started(self) -> int:
        """The start that this run is."""
        return int(self.fields.get(b"ats", 0))

    @property
    def start(self) -> str:
        """What names it, for a lease that ran out."""
        return f"{self.started}:{int(self.fields.get(b'processedOn', 0))}"

    @property
    def attempts_made(self) -> int:
        return int(self.fields.get(b"atm", 0))


@dataclass
class Asked:
    """A finish_and_fetch of this step, its answer, and what Redis held then."""

    worker: int
    queue: str
    room: int
    fetched: Fetched
    after: Picture


@dataclass
class Settled:
    """A result of this step that was taken: of which run, and how it ended."""

    held: Held
    outcome: str
    letter: bool


@dataclass
class Worker:
    """What one worker holds, and what it has let go."""

    name: str
    holds: list[Held] = field(default_factory=list)
    ended: list[Held] = field(default_factory=list)

    def let_go(self, held: Held) -> None:
        self.holds.remove(held)
        self.ended.append(held)
