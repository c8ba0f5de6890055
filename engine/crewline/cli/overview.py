"""All queues of a Redis, looked at again and again over one client: what ``queues`` and ``top`` show."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from crewline.queue.observing import Metrics
from crewline.queue.queue import Queue
from crewline.redis.connection import connect, is_wrong_type
from crewline.wire.text import escaped, number

#: Seconds between two searches for queues: a search goes through all keys of a Redis.
SEARCH_SECONDS = 10.0


@dataclass(frozen=True)
class Look:
    """One queue, seen once.

    Attributes:
        counts: its jobs by state.
        ended: jobs that have ever ended, as near as the queue tells: ids given less what is still to be done.
        workers: as `Queue.workers` tells.
    """

    counts: Metrics
    ended: int
    workers: list[dict[str, Any]]


class Overview:
    """The queues under a prefix."""

    def __init__(self, redis: str, prefix: str) -> None:
        self._url = redis
        self._prefix = prefix
        self._client = connect(redis)
        self._queues: dict[str, Queue] = {}
        self._searched_at = float("-inf")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for queue in self._queues.values():
            await queue.close()
        await self._client.aclose()

    async def look(self) -> dict[str, Look]:
        """Each queue by its name, in the order of names."""
        if time.monotonic() - self._searched_at >= SEARCH_SECONDS:
            names = await find_queues(self._client, self._prefix)
            self._searched_at = time.monotonic()
            for gone in self._queues.keys() - set(names):
                await self._queues.pop(gone).close()
            self._queues = {name: self._queues.get(name) or self._open(name) for name in names}
        found = {name: await self._look_at(queue) for name, queue in self._queues.items()}
        return {name: look for name, look in found.items() if look is not None}

    def _open(self, name: str) -> Queue:
        return Queue(name, redis=self._client, prefix=self._prefix)

    @staticmethod
    async def _look_at(queue: Queue) -> Look | None:
        """None for what is named like a queue and is none: one of its keys is of another type."""
        try:
            counts = await queue.metrics()
            given = number(await queue.redis.get(queue.keys.id) or 0)
            workers = await queue.workers()
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            return None
        left = counts.waiting + counts.active + counts.delayed + counts.waiting_children
        return Look(counts, given - left, workers)


async def find_queues(client: Redis, prefix: str) -> list[str]:
    """The names of all queues under a prefix, sorted: those that have settings or an id counter."""
    # one walk for both: keys that begin as they do are few
    pattern = escaped(prefix) + ":*:[im][de]*"
    names: set[str] = set()
    async for key in client.scan_iter(match=pattern, count=1000):
        name, _, suffix = key.decode(errors="replace")[len(prefix) + 1 :].partition(":")
        if name and suffix in ("id", "meta"):
            names.add(name)
    return sorted(names)


def keeps_letters(name: str, found: Collection[str]) -> bool:
    """Whether a queue is where another one's dead letters go, as its name says."""
    return name.endswith("-dlq") and name.removesuffix("-dlq") in found
