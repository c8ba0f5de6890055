"""What ends leaves `active`, wherever it stands there; all else stays, in its order."""

from __future__ import annotations

import random

import pytest
from crewline import Queue
from crewline.redis.scripts import Result
from crewline.wire.text import text


async def _call(queue: Queue, done: list[str], room: int = 0) -> tuple[list[int], list[str]]:
    fetched = await queue.scripts.finish_and_fetch(
        [Result(job_id, "t", "completed", "1", plain=True) for job_id in done],
        letters="", token="t", lease_ms=60_000, worker="w", room=room,
    )  # fmt: skip
    return fetched.codes, [job.id for job in fetched.jobs]


async def _active(queue: Queue) -> list[str]:
    return [text(job_id) for job_id in await queue.redis.lrange(queue.keys.active, 0, -1)]


@pytest.mark.parametrize("most", [1, 3, 4, 10, 25])
async def test_what_ends_leaves_active_and_the_others_stay_in_their_order(queue: Queue, most: int) -> None:
    await queue.add_bulk(("n", n) for n in range(60))
    _, left = await _call(queue, [], 60)
    dice = random.Random(most)
    while left:
        # some from the oldest, which are at the tail, some from anywhere
        done, rest = left[: most // 2], left[most // 2 :]
        done += dice.sample(rest, min(most - most // 2, len(rest)))
        dice.shuffle(done)
        codes, _ = await _call(queue, done)
        assert codes == [0] * len(done)
        left = [job_id for job_id in left if job_id not in done]
        assert await _active(queue) == left[::-1]


async def test_a_job_that_ends_twice_in_one_call_ends_once(queue: Queue) -> None:
    await queue.add_bulk(("n", n) for n in range(8))
    _, held = await _call(queue, [], 8)
    codes, _ = await _call(queue, [held[0], held[1], held[0], held[7], held[7]])
    assert codes == [0, 0, -3, 0, -3]
    assert await queue.redis.zcard(queue.keys.completed) == 3
    assert await _active(queue) == held[2:7][::-1]


async def test_what_is_not_active_is_refused_beside_what_is(queue: Queue) -> None:
    await queue.add_bulk(("n", n) for n in range(5))
    _, held = await _call(queue, [], 5)
    await queue.redis.lrem(queue.keys.active, 1, held[2])
    codes, _ = await _call(queue, held)
    assert codes == [0, 0, -3, 0, 0]
    assert await _active(queue) == []
    await queue.redis.delete(queue.keys.job(held[2]), queue.keys.job(held[2]) + ":lock")
