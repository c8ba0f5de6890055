"""Dead letters: jobs that failed for good, with all that is needed to see why and to run them again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any

from crewline.errors import CrewlineError, InvalidOption, InvalidPayload, JobNotFound
from crewline.queue.letter import DeadLetter, Filter
from crewline.queue.queue import Queue
from crewline.redis.connection import is_wrong_type
from crewline.redis.scripts.calls.parts import parts
from crewline.wire import jsonio
from crewline.wire.checks import check_callable, check_count, check_items, check_per_second, check_text, check_truth
from crewline.wire.keys import Keys, is_job_id
from crewline.wire.options import MAX_PRIORITY
from crewline.wire.text import text

#: Ids of letters that one call reads, and letters: each may be larger than a job's data.
PAGE = 1000
READ_AT_ONCE = 20

#: What is told of a letter that can't be replayed: its id and why.
OnError = Callable[[str, CrewlineError], None]


class _Problems:
    """Letters that can't be replayed: told to whoever asked for them, else raised once the others are done."""

    def __init__(self, on_error: OnError | None) -> None:
        self._on_error = None if on_error is None else check_callable(on_error, "on_error")
        self._found: list[str] = []

    @contextlib.contextmanager
    def of(self, letter_id: str) -> Iterator[None]:
        try:
            yield
        except CrewlineError as error:
            if self._on_error is not None:
                self._on_error(letter_id, error)
            else:
                self._found.append(f"letter {letter_id}: {error}")

    def tell(self, replayed: int) -> None:
        if self._found:
            told = "; ".join(self._found[:20])
            raise CrewlineError(f"replayed {replayed}, but {len(self._found)} can't be: {told}")


class DeadLetters:
    """The dead letters of one queue.

    Args:
        queue: the queue they came from; its ``dead_letter_queue`` says where they are.

    Raises:
        InvalidOption: it has none, or is no Queue.
    """

    def __init__(self, queue: Queue) -> None:
        if not isinstance(queue, Queue):
            raise InvalidOption(f"queue {queue!r} must be a crewline.Queue, whose dead letters they are")
        if not queue.dead_letter_queue:
            raise InvalidOption(
                f"queue {queue.name!r} has no dead letters: name the queue that they came from, or its "
                "dead_letter_queue"
            )
        self._origin = queue
        self._letters = queue.beside(queue.dead_letter_queue)

    async def count(self) -> int:
        """How many letters wait in the dead-letter queue: all of them, where several queues share it."""
        return sum([int(await self._letters.redis.llen(each)) for each in self._lists()])

    async def list(self, limit: int = 100, **wanted: Any) -> list[DeadLetter]:
        """The newest letters of this queue, newest first; what is no letter is left out.

        Args:
            limit: how many at most.
            wanted: what `Filter` takes, to get only those that match.
        """
        check_count(limit, "limit")
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
        known = letter_id != "" and is_job_id(check_text(letter_id, "dead letter's id"))
        data = await self._letters.redis.hget(self._letters.keys.job(letter_id), "data") if known else None
        if data is None:
            raise JobNotFound(f"there is no dead letter {letter_id} in queue {self._letters.name!r}")
        return DeadLetter.from_data(letter_id, data)

    async def replay(self, letter_id: str) -> bool:
        """Puts the job of a letter back, with all its attempts; False if that was done before, or it runs again.

        A letter whose job has been done meanwhile goes.

        Raises:
            JobNotFound: there is no such letter.
            InvalidPayload: its job's data can't be a job of the queue (any more), as with the queue's
                ``max_payload_bytes``.
        """
        letter = await self.get(letter_id)
        origin = self._origin
        if letter.queue != origin.name:
            raise JobNotFound(
                f"dead letter {letter_id} is of queue {letter.queue!r}, not {origin.name!r}: replay it there"
            )
        if not is_job_id(letter.job_id):
            raise InvalidPayload(f"dead letter {letter_id} tells of job {letter.job_id!r}, which is no job's id")
        try:
            f"{letter.job_id}{letter.name}".encode()
        except UnicodeEncodeError:
            raise InvalidPayload(
                f"dead letter {letter_id} tells of a job whose id or name is no Unicode text"
            ) from None
        priority = letter.options.get("priority", 0)
        known = isinstance(priority, int) and not isinstance(priority, bool) and 0 <= priority <= MAX_PRIORITY
        code = await origin.scripts.replay_dead_letter(
            letter.job_id, Keys(origin.prefix, self._letters.name).base, letter_id, letter.name,
            jsonio.dumps(letter.data, "data", origin.max_payload_bytes), jsonio.dumps(letter.options, "options"),
            priority if known else 0,
        )  # fmt: skip
        return code == 1

    async def replay_each(self, letter_ids: Iterable[str], *, on_error: OnError | None = None) -> int:
        """Replays these letters; returns how many were put back. One that can't be is handled as by `replay_all`."""
        replayed, problems = 0, _Problems(on_error)
        for letter_id in check_items(letter_ids, "letter_ids", "a list of ids"):
            with problems.of(letter_id):
                replayed += await self.replay(letter_id)
        problems.tell(replayed)
        return replayed

    async def replay_all(
        self,
        limit: int | None = None,
        *,
        per_second: float | None = None,
        dry_run: bool = False,
        on_error: OnError | None = None,
        **wanted: Any,
    ) -> int:
        """Replays the letters that are there now, oldest first; returns how many were put back.

        A letter that can't be replayed (its data is larger than the queue takes) stays where it is, and the others go
        on.

        Args:
            limit: how many at most; None for all.
            per_second: how many a second, so that what they failed on is not run over again; None for no bound.
            dry_run: only count them.
            on_error: called with the id of each that can't be replayed and why.
            wanted: what `Filter` takes, to replay only those that match.

        Raises:
            CrewlineError: at the end, without ``on_error``: some could not be replayed; the message names them.
        """
        if limit is not None:
            check_count(limit, "limit", mend="leave it out for all")
        check_truth(dry_run, "dry_run")
        wait_seconds = None if per_second is None else 1 / check_per_second(per_second)
        chosen = Filter(**wanted)
        replayed, problems = 0, _Problems(on_error)
        async for letter in self._all(newest_first=False):
            if limit is not None and replayed >= limit:
                break
            if not chosen.matches(letter):
                continue
            if dry_run:
                replayed += 1
                continue
            with problems.of(letter.id):
                if await self.replay(letter.id):
                    replayed += 1
                    if wait_seconds is not None:
                        await asyncio.sleep(wait_seconds)
        problems.tell(replayed)
        return replayed

    async def _all(self, *, newest_first: bool) -> AsyncIterator[DeadLetter]:
        """This queue's letters that are there now, however many leave or come meanwhile."""
        redis, keys = self._letters.redis, self._letters.keys
        async for ids in self._ids(newest_first=newest_first):
            async with redis.pipeline(transaction=False) as pipe:
                for letter_id in ids:
                    pipe.hget(keys.job(letter_id), "data")
                found = await pipe.execute(raise_on_error=False)
            for letter_id, data in zip(ids, found, strict=True):
                # a key of another type, which somebody put there: one that is no letter
                if isinstance(data, Exception) and not is_wrong_type(data):
                    raise data
                try:
                    letter = None if isinstance(data, Exception | None) else DeadLetter.from_data(letter_id, data)
                except InvalidPayload:
                    continue
                # others of a dead-letter queue that is shared are theirs
                if letter and letter.queue == self._origin.name:
                    yield letter

    async def _ids(self, *, newest_first: bool) -> AsyncIterator[Sequence[str]]:
        """The ids of letters, a few at a time."""
        if newest_first:
            async for page in self._pages():
                for ids in parts(page, READ_AT_ONCE):
                    yield ids
            return
        # all are read before the first leaves
        for page in [page async for page in self._pages()][::-1]:
            for ids in parts(page[::-1], READ_AT_ONCE):
                yield ids

    async def _pages(self) -> AsyncIterator[Sequence[str]]:
        """The ids of letters, newest first, each once; in pages, since a million in one go would hold Redis up."""
        redis, seen = self._letters.redis, set[str]()
        for name in self._lists():
            # letters come at the head: counted from the tail, none that is there moves for it. One that leaves, as by
            # being replayed, moves those before it to where others were: none is passed over, and some come again
            left = int(await redis.llen(name))
            while left > 0:
                page = [text(each) for each in await redis.lrange(name, -left, -max(left - PAGE, 0) - 1)]
                yield [letter_id for letter_id in page if letter_id not in seen]
                seen.update(page)
                left -= PAGE

    def _lists(self) -> tuple[str, str]:
        """Where letters wait; BullMQ 5 renames the one to the other where somebody pauses the queue."""
        return self._letters.keys.wait, self._letters.keys.paused
