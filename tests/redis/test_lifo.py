"""A `lifo` job runs before those that wait, when it is added and when it is run again; but not after a delay."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from crewline import Queue
from crewline.queue.dead_letters import DeadLetters
from crewline.redis.scripts import Result

Again = Callable[[Queue], Awaitable[Any]]


async def _settle(queue: Queue, outcome: str, **more: Any) -> None:
    """The next job is fetched, and ends so."""
    letters = queue.keys.base[:-1] + "-dlq:"
    asked: dict[str, Any] = {"letters": letters, "lease_ms": 60_000, "worker": "w"}
    (job,) = (await queue.scripts.finish_and_fetch([], token="t", room=1, **asked)).jobs
    told = Result(job.id, "t", outcome, '"x"', **more)
    assert (await queue.scripts.finish_and_fetch([told], token="t2", room=0, **asked)).codes == [0]


async def _waiting(queue: Queue) -> list[str]:
    """Those that wait, the next to run first."""
    return [each.decode() for each in reversed(await queue.redis.lrange(queue.keys.wait, 0, -1))]


async def _retry(queue: Queue) -> None:
    await queue.retry("a")


async def _retry_all(queue: Queue) -> None:
    assert await queue.retry_all() == 1


async def _replay(queue: Queue) -> None:
    assert await DeadLetters(queue).replay_all() == 1


async def _replay_removed(queue: Queue) -> None:
    await queue.remove("a")
    await _replay(queue)


@pytest.mark.parametrize("again", [_retry, _retry_all, _replay, _replay_removed])
@pytest.mark.parametrize("lifo", [True, False])
async def test_one_that_has_failed_goes_where_it_would_go_if_it_were_added(
    queue: Queue, again: Again, lifo: bool
) -> None:
    await queue.add("n", 1, job_id="a", lifo=lifo)
    await _settle(queue, "failed")
    await queue.add("n", 1, job_id="other")
    await again(queue)
    assert await _waiting(queue) == (["a", "other"] if lifo else ["other", "a"])


async def test_of_many_the_last_that_failed_is_the_first_to_run(queue: Queue) -> None:
    for job_id in ("a", "b"):
        await queue.add("n", 1, job_id=job_id, lifo=True)
        await _settle(queue, "failed")
        await queue.redis.zincrby(queue.keys.failed, -1 if job_id == "a" else 0, job_id)
    await queue.add("n", 1, job_id="other")
    assert await queue.retry_all() == 2
    assert await _waiting(queue) == ["b", "a", "other"]


async def test_a_priority_goes_before_it(queue: Queue) -> None:
    await queue.add("n", 1, job_id="a", lifo=True, priority=2)
    await _settle(queue, "failed")
    await queue.add("n", 1, job_id="other", priority=2)
    assert await queue.retry_all() == 1
    assert await queue.redis.zrange(queue.keys.prioritized, 0, -1) == [b"other", b"a"]


async def test_one_that_comes_to_wait_after_a_delay_goes_behind_those_that_wait_as_in_bullmq(queue: Queue) -> None:
    for job_id in ("promoted", "all"):
        await queue.add("n", 1, job_id=job_id, lifo=True, delay=60)
    await queue.add("n", 1, job_id="other")
    await queue.promote("promoted")
    await queue.promote_all()
    assert await _waiting(queue) == ["other", "promoted", "all"]


async def test_many_with_large_options_are_retried_in_several_calls(queue: Queue) -> None:
    for job_id in ("a", "b", "c"):
        await queue.add("n", 1, job_id=job_id)
        await _settle(queue, "failed")
        await queue.redis.hset(queue.keys.job(job_id), "opts", '{"x":"' + 60_000 * "x" + '"}')
    assert await queue.scripts.retry_jobs("failed", 2**52, 200, True) == 2
    assert await queue.retry_all() == 1
    assert len(await _waiting(queue)) == 3
