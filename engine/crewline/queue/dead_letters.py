"""Dead letters: jobs that failed for good, with all that is needed to see why and to run them again."""

from __future__ import annotations

import asyncio
import datetime
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from crewline.errors import InvalidPayload, JobNotFound
from crewline.queue.queue import Queue
from crewline.wire import jsonio
from crewline.wire.keys import Keys
from crewline.wire.text import text


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


@dataclass(frozen=True)
class Filter:
    """Which letters are meant; all that is given must hold.

    Args:
        name: the job's name.
        reason: a part of the reason, in any case.
        since, until: aware datetimes between which it failed.
        text: a part of the job's data as JSON.
    """

    name: str | None = None
    reason: str | None = None
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    text: str | None = None

    def matches(self, letter: DeadLetter) -> bool:
        failed_at = datetime.datetime.fromtimestamp(letter.failed_at_ms / 1000, datetime.UTC)
        return (
            (self.name is None or letter.name == self.name)
            and (self.reason is None or self.reason.casefold() in letter.reason.casefold())
            and (self.since is None or failed_at >= self.since)
            and (self.until is None or failed_at <= self.until)
            and (self.text is None or self.text in json.dumps(letter.data, ensure_ascii=False))
        )


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

    async def list(self, limit: int = 100, **wanted: Any) -> list[DeadLetter]:
        """The newest letters, newest first; what is no letter is left out.

        Args:
            limit: how many at most.
            wanted: what `Filter` takes, to get only those that match.
        """
        chosen = Filter(**wanted)
        found: list[DeadLetter] = []
        async for letter in self._all(newest_first=True):
            if chosen.matches(letter):
                found.append(letter)
                if len(found) == limit:
                    break
        return found

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

    async def replay_all(
        self, limit: int | None = None, *, per_second: float | None = None, dry_run: bool = False, **wanted: Any
    ) -> int:
        """Replays the letters that are there now, oldest first; returns how many were put back.

        Args:
            limit: how many at most; None for all.
            per_second: how many a second, so that what they failed on is not run over again; None for no bound.
            dry_run: only count them.
            wanted: what `Filter` takes, to replay only those that match.
        """
        chosen = Filter(**wanted)
        replayed = 0
        async for letter in self._all(newest_first=False):
            if limit is not None and replayed >= limit:
                break
            if letter.queue != self._origin.name or not chosen.matches(letter):
                continue
            if dry_run:
                replayed += 1
            elif await self.replay(letter.id):
                replayed += 1
                if per_second is not None:
                    await asyncio.sleep(1 / per_second)
        return replayed

    async def _all(self, *, newest_first: bool) -> AsyncIterator[DeadLetter]:
        """The letters that are there now, however many leave or come meanwhile."""
        ids = await self._letters.redis.lrange(self._letters.keys.wait, 0, -1)
        for letter_id in ids if newest_first else reversed(ids):
            try:
                yield await self.get(text(letter_id))
            except (InvalidPayload, JobNotFound):
                continue
