"""What a queue's limits hold back, as the operator reads it from Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from crewline import Job, Queue, Worker
from crewline_operator.model.demand import AHEAD_MS, BY_HAND
from crewline_operator.redis.reading import Snapshot, Target
from crewline_operator.redis.snapshot import read_snapshots
from redis.asyncio import Redis

from tests.redis.sleepers import asleep

Until = Callable[..., Awaitable[Any]]
EMAILS = Target("bull", "emails", "emails-dlq")


@pytest_asyncio.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def snapshot(redis: Redis) -> Snapshot:
    seen = (await read_snapshots(redis, [EMAILS]))[EMAILS]
    assert isinstance(seen, Snapshot)
    return seen


async def demand(redis: Redis) -> int:
    return (await snapshot(redis)).demand.total


async def test_a_global_concurrency_needs_no_more_workers_than_it_lets_run(queue: Queue, redis: Redis) -> None:
    await queue.add_bulk([("a", {})] * 30)
    assert await demand(redis) == 30
    await queue.set_global_concurrency(4)
    assert await demand(redis) == 4
    await redis.hset(queue.keys.meta, "concurrency", "no number")
    assert await demand(redis) == 30


async def test_a_rate_that_is_used_up_needs_no_worker_until_it_ends(
    queue: Queue, redis: Redis, start_worker: Callable[..., Awaitable[Worker]], until: Until
) -> None:
    async def handle(_: Job) -> None:
        pass

    await queue.set_global_rate(5, 600)
    await queue.add_bulk([("a", {})] * 30)
    assert await demand(redis) == 5
    await start_worker(handle)
    await until(lambda: queue_has(redis, waiting=25, active=0))
    seen = await snapshot(redis)
    assert (seen.demand.total, seen.demand.held) == (0, 25)
    assert seen.changes_in_seconds is not None and 500 < seen.changes_in_seconds <= 600
    await redis.pexpire(queue.keys.limiter, AHEAD_MS)
    assert await demand(redis) == 5, "a worker that is asked for now finds the next window"


async def queue_has(redis: Redis, waiting: int, active: int) -> bool:
    seen = await snapshot(redis)
    return (seen.waiting, seen.active) == (waiting, active)


@pytest.mark.parametrize("stored", ["no number", "nan", "-1", str(10**30)])
async def test_a_counter_that_is_none_limits_nothing_but_by_the_rate(queue: Queue, redis: Redis, stored: str) -> None:
    await queue.add_bulk([("a", {})] * 30)
    await redis.set(queue.keys.limiter, stored, px=60_000)
    assert await demand(redis) in (30, 0)
    assert (await demand(redis) == 0) == (stored == str(10**30)), "as by hand"
    await redis.delete(queue.keys.limiter)
    await redis.lpush(queue.keys.limiter, "no counter")
    assert await demand(redis) == 30
    await redis.delete(queue.keys.limiter)


async def test_a_queue_that_sleeps_is_read_when_what_is_held_by_hand_may_run(
    redis_url: str, queue: Queue, redis: Redis, until: Until
) -> None:
    """Reads are ten minutes apart: no event tells that the time has come."""
    await queue.add("a", {})
    await redis.set(queue.keys.limiter, BY_HAND, px=AHEAD_MS + 400)
    async with asleep(redis_url, "emails") as sleepers:
        await until(lambda: sleepers.demand("emails") == 0)
        await until(lambda: sleepers.demand("emails") == 1)
    assert await redis.pttl(queue.keys.limiter) > 0, "ahead of its end"


async def test_a_queue_that_sleeps_is_read_ahead_of_when_its_next_job_is_due(
    redis_url: str, queue: Queue, redis: Redis, until: Until
) -> None:
    await queue.add("a", {}, delay=AHEAD_MS / 1000 + 0.4)
    async with asleep(redis_url, "emails") as sleepers:
        await until(lambda: sleepers.demand("emails") == 0)
        await until(lambda: sleepers.demand("emails") == 1)
    seen = await snapshot(redis)
    assert seen.next_due_ms is not None and seen.next_due_ms > seen.now_ms
