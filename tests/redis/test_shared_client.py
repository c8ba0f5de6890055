"""A client that several use at once: whoever has done with it disturbs nobody else's calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from crewline import Queue
from crewline.redis.connection import connect


async def close(queue: Queue) -> None:
    await queue.close()


async def renew(queue: Queue) -> None:
    await queue.scripts.renew()


@pytest.mark.parametrize("end", [close, renew])
async def test_what_one_queue_closes_of_a_shared_client_is_taken_from_no_other_in_its_call(
    redis_url: str, end: Callable[[Queue], Awaitable[None]]
) -> None:
    shared = connect(redis_url)

    async def use(number: int) -> None:
        for turn in range(40):
            queue = Queue(f"q{number}", redis=shared)
            await shared.incr("bull:emails:id")
            await asyncio.sleep((number * 7 + turn) % 5 / 1000)
            await end(queue)

    await asyncio.gather(*(use(number) for number in range(8)))
    assert await shared.get("bull:emails:id") == b"320"
    await shared.aclose()
