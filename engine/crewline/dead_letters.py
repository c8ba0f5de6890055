"""Dead letters: jobs that failed for good, with all that is needed to see why and to run them again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from crewline import jsonio
from crewline.connection import text
from crewline.errors import InvalidPayload, JobNotFound
from crewline.keys import Keys
from crewline.queue import Queue


@dataclass(frozen=True)
class DeadLetter:
    """One dead job.

    Attributes:
        id: the letter's own id in the dead-letter queue.
        queue, job_id, name: the job it tells of.
        reason: why it failed at last.
        stack: its stack traces, oldest attempt first.
        attempts: how many attempts it had.
        failed_at_ms: when it failed, epoch milliseconds by Redis' clock.
        data, options: what the job was added with.
    """

    id: str
    queue: str
    job_id: str
    name: str
    reason: str
    stack: list[str]
    attempts: int
    failed_at_ms: int
    data: Any
    options: dict[str, Any]

    @classmethod
    def from_data(cls, letter_id: str, data: Any) -> DeadLetter:
        """A letter from its job's data; raises InvalidPayload if another program wrote it."""
        # its parts are verbatim what a foreign client wrote, which may be no text
        body = jsonio.loads(text(data), f"dead letter {letter_id}")
        if not (isinstance(body, dict) and isinstance(body.get("queue"), str) and isinstance(body.get("jobId"), str)):
            raise InvalidPayload(f"job {letter_id} is no dead letter: it has no queue and jobId")
        return cls(
            letter_id, body["queue"], body["jobId"], str(body.get("name", "")), str(body.get("reason", "")),
            list(body.get("stack") or []), int(body.get("attempts") or 0), int(body.get("failedAt") or 0),
            body.get("data"), body.get("options") or {},
        )  # fmt: skip


class DeadLetters:
    """The dead letters of one queue.

    Args:
        queue: the queue they came from; its ``dead_letter_queue`` says where they are.
    """

    def __init__(self, queue: Queue) -> None:
        self._origin = queue
        self._letters = Queue(queue.dead_letter_queue, redis=queue.redis, prefix=queue.prefix)

    async def count(self) -> int:
        """How many letters there are that were not replayed."""
        return int(await self._letters.redis.llen(self._letters.keys.wait))

    async def list(self, limit: int = 100) -> list[DeadLetter]:
        """The newest letters, newest first; what is no letter is left out."""
        return [letter async for letter in self._newest(limit)]

    async def get(self, letter_id: str) -> DeadLetter:
        """The letter with that id, replayed or not; raises JobNotFound."""
        data = await self._letters.redis.hget(self._letters.keys.job(letter_id), "data")
        if data is None:
            raise JobNotFound(f"there is no dead letter {letter_id} in queue {self._letters.name!r}")
        return DeadLetter.from_data(letter_id, data)

    async def replay(self, letter_id: str) -> bool:
        """Puts the job of a letter back, with all its attempts; False if that was done before, or it runs again.

        Raises JobNotFound if there is no such letter.
        """
        letter = await self.get(letter_id)
        origin = self._origin
        if letter.queue != origin.name:
            raise JobNotFound(
                f"dead letter {letter_id} is of queue {letter.queue!r}, not {origin.name!r}: replay it there"
            )
        priority = letter.options.get("priority", 0)
        code = await origin.scripts.replay_dead_letter(
            letter.job_id, Keys(origin.prefix, self._letters.name).base, letter_id, letter.name,
            jsonio.dumps(letter.data, "data"), jsonio.dumps(letter.options, "options"),
            priority if isinstance(priority, int) else 0,
        )  # fmt: skip
        return code == 1

    async def replay_all(self, limit: int | None = None) -> int:
        """Replays the letters that are there now, oldest first, ``limit`` at most; returns how many were put back."""
        ids = await self._letters.redis.lrange(self._letters.keys.wait, 0, -1)
        replayed = 0
        for letter_id in reversed(ids):
            if limit is not None and replayed >= limit:
                break
            try:
                letter = await self.get(text(letter_id))
            except (InvalidPayload, JobNotFound):
                continue
            if letter.queue == self._origin.name:
                replayed += await self.replay(letter.id)
        return replayed

    async def _newest(self, limit: int) -> AsyncIterator[DeadLetter]:
        ids = await self._letters.redis.lrange(self._letters.keys.wait, 0, limit - 1)
        for letter_id in ids:
            try:
                yield await self.get(text(letter_id))
            except (InvalidPayload, JobNotFound):
                continue
