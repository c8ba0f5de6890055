"""A fetch that Redis refuses half-way: its jobs are where they were, and others hear that they wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from crewline import Queue
from crewline.redis.scripts import Result
from redis.exceptions import ResponseError

from tests.redis.denying import as_weak


@pytest_asyncio.fixture
async def weak(queue: Queue, redis_url: str) -> AsyncIterator[Queue]:
    """The same queue, for a user that may take jobs, but not lease them."""
    await queue.redis.execute_command("ACL", "SETUSER", "weak", "reset", "on", ">secret", "~*", "&*", "+@all", "-set")
    async with Queue("emails", redis=as_weak(redis_url)) as opened:
        yield opened
    await queue.redis.execute_command("ACL", "DELUSER", "weak")


async def _refused(queue: Queue, room: int = 5) -> None:
    with pytest.raises(ResponseError, match="run this command"):
        await queue.scripts.finish_and_fetch(
            [], letters="", token="t", lease_ms=60_000, worker="w", room=room, suspects=0
        )


async def _suspect(queue: Queue, priority: int) -> None:
    job = await queue.add("n", {}, priority=priority)
    await queue.redis.hset(queue.keys.job(job.id), "suspect", "1")


@pytest.mark.parametrize("suspects", [0, 2])
async def test_each_job_has_its_place_again(queue: Queue, weak: Queue, suspects: int) -> None:
    for _ in range(suspects):
        await _suspect(queue, 3)
    for priority in (3, 7, 7):
        await queue.add("n", {}, priority=priority)
    before = await queue.redis.zrange(queue.keys.prioritized, 0, -1, withscores=True)
    await _refused(weak, room=2)
    assert await queue.redis.zrange(queue.keys.prioritized, 0, -1, withscores=True) == before
    assert await queue.redis.llen(queue.keys.active) + await queue.redis.llen(queue.keys.wait) == 0


@pytest.mark.parametrize("priority", [0, 5])
async def test_an_idle_worker_hears_that_jobs_wait(queue: Queue, weak: Queue, priority: int) -> None:
    await queue.add("n", {}, priority=priority)
    # whoever fetches has taken it
    assert await queue.redis.zpopmin(queue.keys.marker) == [(b"0", 0.0)]
    await _refused(weak)
    assert await queue.redis.zrange(queue.keys.marker, 0, -1) == [b"0"]


async def test_an_idle_worker_hears_when_the_next_job_is_due(queue: Queue, weak: Queue) -> None:
    job = await queue.add("n", {}, delay=60)
    await queue.redis.zadd(queue.keys.delayed, {job.id: 4096})
    await queue.redis.delete(queue.keys.marker)
    await _refused(weak)
    assert await queue.job_state(job.id) in ("waiting", "delayed")
    assert await queue.redis.zcard(queue.keys.marker) > 0


async def test_a_job_that_waits_for_a_larger_worker_waits_for_the_next_one(queue: Queue, weak: Queue) -> None:
    job = await queue.add("n", {})
    asked: dict[str, Any] = {"letters": "", "token": "t", "lease_ms": 60_000, "worker": "w"}
    await queue.scripts.finish_and_fetch([], room=1, **asked)
    died = Result(job.id, "t", "back", "", larger="OOMKilled", outgrown=True)
    await queue.scripts.finish_and_fetch([died], room=0, **asked)
    before = await queue.redis.zrange(queue.keys.delayed, 0, -1, withscores=True)
    with pytest.raises(ResponseError, match="run this command"):
        await weak.scripts.finish_and_fetch([], room=1, larger=True, **asked)
    assert await queue.redis.zrange(queue.keys.delayed, 0, -1, withscores=True) == before
    assert await queue.redis.llen(queue.keys.active) + await queue.redis.llen(queue.keys.wait) == 0
    fetched = await queue.scripts.finish_and_fetch([], room=1, larger=True, **asked)
    assert [each.id for each in fetched.jobs] == [job.id]


async def test_jobs_behind_suspects_that_one_call_does_not_read_have_their_place_again(queue: Queue) -> None:
    for _ in range(4):
        await _suspect(queue, 7)
    large = [(await queue.add("n", "x" * 150_000, priority=7)).id for _ in range(4)]
    before = dict(await queue.redis.zrange(queue.keys.prioritized, 0, -1, withscores=True))
    fetched = await queue.scripts.finish_and_fetch(
        [], letters="", token="t", lease_ms=60_000, worker="w", room=4, suspects=0
    )
    assert [each.id for each in fetched.jobs] == large[:2]
    left = await queue.redis.zrange(queue.keys.prioritized, 0, -1, withscores=True)
    assert left == [(job_id, score) for job_id, score in before.items() if job_id.decode() not in large[:2]]
