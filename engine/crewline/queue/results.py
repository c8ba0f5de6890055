"""Waiting for a job's end: one reader of the event stream for all the waiters of a queue object."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Collection, Sequence
from typing import Any

from redis.asyncio import Redis

from crewline.errors import CrewlineError, InvalidOption, JobFailed, JobNotFound
from crewline.queue.at_once import read_at_once
from crewline.queue.events import Event, event_of, follow_batches, last_event_id, size_of
from crewline.queue.portions import READ_FIRST, next_count
from crewline.redis.connection import UNAVAILABLE, cancelled, end_tasks, is_wrong_type
from crewline.redis.loops import home_of
from crewline.wire.checks import check_seconds
from crewline.wire.keys import Keys
from crewline.wire.text import lenient, text

#: Seconds between two looks at all jobs that are waited for; more where they are so many that it would cost.
LOOK_SECONDS = 5.0
LOOKS_PER_SECOND = 200
#: Jobs that one look's call reads.
LOOK_COUNT = 200
#: Events that tell a job's end: none comes after them.
ENDS = ("completed", "failed", "removed")
CLOSED = "the queue was closed before the job had ended: keep it open for as long as somebody waits for a result"


class _Waiter:
    """One job's end, and how many wait for it.

    Events up to ``after`` are of an earlier run of the job. It is not known until Redis was asked, and what is read of
    before then, by a reader that may be behind or ahead of that answer, is kept in ``early``.
    """

    __slots__ = ("after", "count", "early", "end")

    def __init__(self) -> None:
        self.count = 0
        self.after: tuple[int, int] | None = None
        self.early: list[Event] = []
        self.end: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        # retrieved here, so that a failure nobody awaits any more (a timeout) is not logged as lost
        self.end.add_done_callback(lambda done: done.cancelled() or done.exception())

    def read(self, event: Event) -> None:
        """An event of the job: may be the end that is waited for."""
        if self.end.done() or event.name not in ENDS:
            return
        if self.after is None:
            self.early.append(event)
        elif _place(event.id) > self.after:
            _settle(self.end, event)

    def begin(self, after: tuple[int, int]) -> None:
        """The job has yet to end, and whatever ends it comes after that place in the stream."""
        if self.after is None:
            self.after, early = after, self.early
            self.early = []
            for event in early:
                self.read(event)


class Results:
    """Hands ``completed``, ``failed`` and ``removed`` events to those who wait for them.

    An event may never come: the stream was trimmed while the reader was away, or the job went without a word, as with
    obliterate and with whoever deletes keys. Therefore the jobs that are waited for are looked at again whenever events
    may have been lost, and now and then.
    """

    def __init__(self, redis: Redis, url: str | None, keys: Keys) -> None:
        self._redis = redis
        self._url = url
        self._keys = keys
        self._closed = False
        self._begin()
        self._home = home_of(redis)
        self._home.settle(self, Results._begin)

    def _begin(self) -> None:
        self._waiting: dict[str, _Waiter] = {}
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._gone: set[str] = set()
        self._looking_back = asyncio.Lock()

    async def wait(self, job_id: str, timeout: float | None) -> Any:
        """Returns the job's result; raises JobFailed, JobNotFound or TimeoutError, or CrewlineError if it is closed."""
        if timeout is not None:
            timeout = check_seconds(timeout, "timeout", mend="leave it out to wait for ever")
        self._home.enter()
        waiter = self._waiting.get(job_id)
        if waiter is None or waiter.end.done():
            waiter = self._waiting[job_id] = _Waiter()
        waiter.count += 1
        bound = asyncio.timeout(timeout)
        try:
            async with bound:
                await self._start()
                # the reader runs already: an end that is not in the hash yet will come as an event
                await self._look([job_id])
                if cancelled():
                    raise asyncio.CancelledError
                return await asyncio.shield(waiter.end)
        except TimeoutError:
            if bound.expired():
                raise TimeoutError(f"job {job_id} had not ended after {timeout} s") from None
            raise
        except UNAVAILABLE as error:
            if self._closed:
                raise CrewlineError(CLOSED) from error
            raise
        finally:
            waiter.count -= 1
            if not waiter.count and self._waiting.get(job_id) is waiter:
                del self._waiting[job_id]

    async def close(self) -> None:
        self._home.enter()
        self._closed = True
        if self._reader:
            await end_tasks(self._reader)
        for waiter in self._waiting.values():
            if not waiter.end.done():
                waiter.end.set_exception(CrewlineError(CLOSED))

    async def _start(self) -> None:
        url = needed(self._url)
        async with self._starting:
            if self._reader is None or self._reader.done():
                after = "" if self._closed else await last_event_id(self._redis, self._keys)
                if self._closed:
                    # nobody would end a reader that is made now
                    raise CrewlineError(CLOSED)
                self._reader = asyncio.create_task(self._read(url, after), name="crewline-results")

    async def _read(self, url: str, after: str) -> None:
        loop = asyncio.get_running_loop()
        looked_at = loop.time()
        try:
            async with contextlib.aclosing(follow_batches(url, self._keys, after)) as batches:
                async for batch in batches:
                    for event in batch.events:
                        waiter = self._waiting.get(event.job_id)
                        if waiter is not None:
                            waiter.read(event)
                    due = loop.time() - looked_at >= max(LOOK_SECONDS, len(self._waiting) / LOOKS_PER_SECOND)
                    if due or not batch.whole:
                        with contextlib.suppress(*UNAVAILABLE):
                            await self._look(list(self._waiting))
                            looked_at = loop.time()
        except Exception as error:
            # nobody else would ever end them
            for waiter in self._waiting.values():
                if not waiter.end.done():
                    waiter.end.set_exception(error)
            raise

    async def _look(self, job_ids: Sequence[str]) -> None:
        """Ends the waiting for those of these jobs that have ended or are gone."""
        for start in range(0, len(job_ids), LOOK_COUNT):
            part = job_ids[start : start + LOOK_COUNT]
            *found, newest = await read_at_once(self._redis, functools.partial(self._ask, part))
            # a key of another type, in a job's place, ends the waiting for that one and holds up no other
            jobs = [(None, None, None) if is_wrong_type(each) else each for each in found[::3]]
            for reply in (*jobs, *found[1::3], *found[2::3], newest):
                if isinstance(reply, Exception):
                    raise reply
            place, gone = _place(text(newest[0][0])) if newest else (0, 0), []
            for job_id, (name, value, reason), completed, failed in zip(
                part, jobs, found[1::3], found[2::3], strict=True
            ):
                waiter = self._waiting.get(job_id)
                if waiter is None or waiter.end.done():
                    continue  # the event came first
                if name is None:
                    gone.append(job_id)
                elif failed is not None:
                    waiter.end.set_exception(JobFailed(text(reason or b"")))
                elif completed is not None:
                    waiter.end.set_result(lenient(value) if value else None)
                else:
                    # it has yet to end: the reader may be behind, at the end of a run before a retry
                    waiter.begin(place)
            if gone:
                self._gone.update(gone)
                # one goes through the events for all that came meanwhile
                async with self._looking_back:
                    sought, self._gone = self._gone, set()
                    await self._look_back(sought)

    def _ask(self, job_ids: Sequence[str], pipe: Any) -> None:
        for job_id in job_ids:
            pipe.hmget(self._keys.job(job_id), "name", "returnvalue", "failedReason")
            pipe.zscore(self._keys.completed, job_id)
            pipe.zscore(self._keys.failed, job_id)
        pipe.xrevrange(self._keys.events, count=1)

    async def _look_back(self, job_ids: Collection[str]) -> None:
        """Ends the waiting for jobs that are gone: by the event of their end, which outlives a job that is not kept."""
        wanted = {job_id: waiter for job_id in job_ids if (waiter := self._waiting.get(job_id))}
        newest, count = "+", READ_FIRST
        while wanted:
            entries: Any = await self._redis.xrevrange(self._keys.events, max=newest, count=count)
            for entry_id, raw in entries:
                event = event_of(entry_id, raw)
                waiter = wanted.get(event.job_id)
                # the newest comes first: one that never was seen to wait ends as it did last
                if waiter and not waiter.end.done() and _place(event.id) > (waiter.after or (0, 0)):
                    _settle(waiter.end, event)
                if waiter and waiter.end.done():
                    del wanted[event.job_id]
            if len(entries) < count:
                break
            newest, count = f"({text(entries[-1][0])}", next_count(count, [size_of(raw) for _, raw in entries])
        for job_id, waiter in wanted.items():
            if not waiter.end.done():
                gone = f"there is no job {job_id} in queue {self._keys.queue!r}: it was removed, or never added"
                waiter.end.set_exception(JobNotFound(gone))


def _settle(future: asyncio.Future[Any], event: Event) -> None:
    if event.name == "completed":
        future.set_result(lenient(event.fields.get("returnvalue", "null")))
    elif event.name == "failed":
        future.set_exception(JobFailed(event.fields.get("failedReason", "")))
    elif event.name == "removed":
        future.set_exception(JobNotFound(f"job {event.job_id} was removed before it ended"))


def _place(event_id: str) -> tuple[int, int]:
    """Where an event is in the stream."""
    at, _, number = event_id.partition("-")
    return int(at), int(number)


def needed(url: str | None) -> str:
    """The URL, for reads that block a connection of their own; InvalidOption without one.

    Said before a reader is made: one that ended with it would leave its waiters waiting.
    """
    if url is None:
        raise InvalidOption("waiting for results and events needs a Redis URL: make the Queue with redis='redis://…'")
    return url
