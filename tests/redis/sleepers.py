"""Queues without workers, as the operator reads them: so rarely that only an event can have told what is seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from crewline import Queue
from crewline_operator.model.attention import Attention
from crewline_operator.model.key import Key
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.poller import Poller
from crewline_operator.redis.reading import Target

#: Ten times this is the time between two reads of a queue that sleeps.
POLL_SECONDS = 60.0


class Sleepers:
    """Queues of one Redis that sleep, and what is told of them."""

    def __init__(self, poller: Poller, url: str, told: list[Key]) -> None:
        self.poller = poller
        self.url = url
        self.told = told

    def sleep(self, *names: str) -> None:
        for name in names:
            self.poller.watch(self.key(name), Target("bull", name, f"{name}-dlq"))
            self.poller.attend(self.key(name), Attention.ASLEEP)

    def key(self, name: str) -> Key:
        return Key("JobQueue", "shop", name)

    def waiting(self, name: str) -> int:
        """How many jobs wait, as far as was told; -1 if nothing was."""
        snapshot = self.poller.reading(self.key(name)).snapshot
        return -1 if snapshot is None else snapshot.waiting

    def demand(self, name: str) -> int:
        """How many jobs need a worker; -1 if nothing was told."""
        snapshot = self.poller.reading(self.key(name)).snapshot
        return -1 if snapshot is None else snapshot.demand.total

    def delayed(self, name: str) -> int:
        """How many are delayed; -1 if nothing was told."""
        snapshot = self.poller.reading(self.key(name)).snapshot
        return -1 if snapshot is None else snapshot.delayed

    def read_ms(self, name: str) -> int:
        """When it was read last, by Redis' clock."""
        snapshot = self.poller.reading(self.key(name)).snapshot
        return 0 if snapshot is None else snapshot.now_ms

    async def add(self, name: str, **options: Any) -> None:
        async with Queue(name, redis=self.url) as queue:
            await queue.add("a", {}, **options)


@asynccontextmanager
async def asleep(
    at: str | Endpoint, *names: str, poll_seconds: float = POLL_SECONDS, added_by: str = ""
) -> AsyncIterator[Sleepers]:
    """Queues that sleep. They are read at an endpoint, or by a URL, and added to by another URL, if that is named."""
    told: list[Key] = []
    endpoint = at if isinstance(at, Endpoint) else Endpoint(at, "shown")
    poller = Poller(endpoint, told.extend, poll_seconds)
    poller.start()
    sleepers = Sleepers(poller, added_by or endpoint.url, told)
    sleepers.sleep(*names)
    try:
        yield sleepers
    finally:
        await poller.stop()
