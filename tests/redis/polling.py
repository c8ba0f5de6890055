"""What tests of the operator's reading share: how they read `emails`, and wait for what is to be seen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import pytest_asyncio
from crewline_operator.model.key import Key
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.poller import Poller
from crewline_operator.redis.pollers import Pollers
from crewline_operator.redis.reading import Snapshot, Target
from crewline_operator.redis.snapshot import read_snapshots
from redis.asyncio import Redis

EMAILS = Target("bull", "emails", "emails-dlq")
KEY = Key("JobQueue", "shop", "emails")


async def until(look: Callable[[], Awaitable[Any]], holds: Callable[[Any], Any] = bool) -> Any:
    """Look again and again until `holds` is true of what was seen, and return that."""
    deadline = time.monotonic() + 10
    while True:
        seen = await look()
        if seen is not None and holds(seen):
            return seen
        assert time.monotonic() < deadline, f"not within 10 s: last seen {seen!r}"
        await asyncio.sleep(0.01)


async def snapshot(redis: Redis) -> Snapshot:
    seen = (await read_snapshots(redis, [EMAILS]))[EMAILS]
    assert isinstance(seen, Snapshot)
    return seen


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest_asyncio.fixture
async def polled(redis_url: str) -> AsyncIterator[tuple[Pollers, Poller, list[Key]]]:
    """A poller of `emails` that reads every 50 ms, and the keys it told of."""
    told: list[Key] = []

    def on_change(keys: Iterable[Key]) -> None:
        told.extend(keys)

    pollers = Pollers(on_change, 0.05)
    yield pollers, pollers.watch(KEY, Endpoint(redis_url, "shown"), EMAILS), told
    await pollers.close()


def other(name: str) -> tuple[Key, Target]:
    return Key("JobQueue", "shop", name), Target("bull", name, f"{name}-dlq")
