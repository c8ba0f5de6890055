"""Waiting for a job's end: one reader of the event stream for all the waiters of a queue object."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

from crewline.errors import InvalidOption, JobFailed, JobNotFound
from crewline.queue.events import Event, follow, last_event_id
from crewline.redis.connection import end_tasks
from crewline.wire import jsonio
from crewline.wire.keys import Keys
from crewline.wire.text import lenient, text


class Results:
    """Hands ``completed``, ``failed`` and ``removed`` events to those who wait for them."""

    def __init__(self, redis: Redis, url: str | None, keys: Keys) -> None:
        self._redis = redis
        self._url = url
        self._keys = keys
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def wait(self, job_id: str, timeout: float | None) -> Any:
        """Returns the job's result, or raises JobFailed, JobNotFound or TimeoutError."""
        await self._start()
        future = self._waiting.get(job_id)
        if future is None:
            future = self._waiting[job_id] = asyncio.get_running_loop().create_future()
            # retrieved here, so that a failure nobody awaits any more (a timeout) is not logged as lost
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        # the reader runs already: an end that is not in the hash yet will come as an event
        await self._settle_if_ended(job_id, future)
        try:
            async with asyncio.timeout(timeout):
                return await asyncio.shield(future)
        except TimeoutError:
            raise TimeoutError(f"job {job_id} had not ended after {timeout} s") from None
        finally:
            if future.done():
                self._waiting.pop(job_id, None)

    async def close(self) -> None:
        if self._reader:
            await end_tasks(self._reader)
        for future in self._waiting.values():
            future.cancel()

    async def _start(self) -> None:
        url = needed(self._url)
        async with self._starting:
            if self._reader is None or self._reader.done():
                after = await last_event_id(self._redis, self._keys)
                self._reader = asyncio.create_task(self._read(url, after), name="crewline-results")

    async def _read(self, url: str, after: str) -> None:
        async for event in follow(url, self._keys, after):
            future = self._waiting.get(event.job_id)
            if future is not None and not future.done():
                self._settle(future, event)

    @staticmethod
    def _settle(future: asyncio.Future[Any], event: Event) -> None:
        if event.name == "completed":
            try:
                future.set_result(jsonio.loads(event.fields.get("returnvalue", "null"), "returnvalue"))
            except ValueError as error:
                future.set_exception(error)
        elif event.name == "failed":
            future.set_exception(JobFailed(event.fields.get("failedReason", "")))
        elif event.name == "removed":
            future.set_exception(JobNotFound(f"job {event.job_id} was removed before it ended"))

    async def _settle_if_ended(self, job_id: str, future: asyncio.Future[Any]) -> None:
        job = self._keys.job(job_id)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hmget(job, "name", "returnvalue", "failedReason")
            pipe.zscore(self._keys.completed, job_id)
            pipe.zscore(self._keys.failed, job_id)
            (name, value, reason), completed, failed = await pipe.execute()
        if future.done():
            return  # the event came first
        if name is None:
            future.set_exception(
                JobNotFound(f"there is no job {job_id} in queue {self._keys.queue!r}: it was removed, or never added")
            )
        elif failed is not None:
            future.set_exception(JobFailed(text(reason or b"")))
        elif completed is not None:
            future.set_result(lenient(value) if value else None)


def needed(url: str | None) -> str:
    """The URL, for reads that block a connection of their own; InvalidOption without one.

    Said before a reader is made: one that ended with it would leave its waiters waiting.
    """
    if url is None:
        raise InvalidOption("waiting for results and events needs a Redis URL: make the Queue with redis='redis://…'")
    return url
