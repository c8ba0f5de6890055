"""What two workers have in hand: the runs of jobs, and what their calls were answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from crewline.redis.scripts import Fetched

from tests.redis.model.picture import JobKey, Picture, is_suspect


@dataclass(eq=False)
class Held:
    """A job that a worker has fetched, with its hash as the fetch told it.

    `unread`: nobody had read of it for a while; `alone`: it runs with nothing beside it in its worker.
    """

    key: JobKey
    token: str
    fields: dict[bytes, Any]
    unread: bool = False
    alone: bool = False

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
    """A finish_and_fetch of this step, its answer, and what Redis held then.

    `suspects`: how many it may bring; `allowed`: how many the queue's rate allowed, None for no bound.
    """

    worker: int
    queue: str
    room: int
    suspects: int | None
    fetched: Fetched
    after: Picture
    allowed: int | None = None

    @property
    def told_to_come_again(self) -> bool:
        """Whether there is more than one call reads, or more behind suspects than it looks at."""
        return len(self.fetched.jobs) < self.room and self.fetched.more

    def left(self) -> list[str]:
        """What could run, and was not fetched."""
        queue = self.after.queues[self.queue]
        scores = queue.plain.get("delayed", {}).items()
        due = [job_id for job_id, score in scores if score // 4096 <= self.fetched.now_ms]
        return queue.within("wait", "paused", "prioritized") + due

    def passed(self) -> list[str]:
        """The suspects among it that the worker has no room for."""
        queue = self.after.queues[self.queue]
        brought = sum(is_suspect(queue.jobs.get(each.id, {})) for each in self.fetched.jobs)
        if self.suspects is None or brought < self.suspects:
            return []
        return [job_id for job_id in self.left() if is_suspect(queue.jobs.get(job_id, {}))]


@dataclass
class Settled:
    """A result of this step that was taken: of which run, and how it ended; `how`: as `Hands.settle` takes it."""

    held: Held
    outcome: str
    letter: bool
    how: str = ""


@dataclass
class Recovery:
    """A look for jobs without a lease, and what Redis held before and after it."""

    queue: str
    before: Picture
    after: Picture
    #: The only job that its worker had, where that counts as one that ran alone.
    sole: str | None = None
    #: Whether such a one waits for a larger worker, the first time.
    larger_first: bool = False


@dataclass
class Worker:
    """What one worker holds, what was fetched in its name while it sleeps, and what it has let go."""

    name: str
    holds: list[Held] = field(default_factory=list)
    asleep: list[Held] = field(default_factory=list)
    ended: list[Held] = field(default_factory=list)

    def let_go(self, held: Held) -> None:
        self.holds.remove(held)
        self.ended.append(held)
