"""Several reads of one moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError


async def read_at_once(redis: Redis, fill: Callable[[Any], None]) -> list[Any]:
    """What the commands find that ``fill`` puts into a pipeline; one that Redis refuses is in its place.

    A full Redis takes no transaction, whatever is in it. There they are sent together all the same, and what moves from
    one place to another meanwhile may be found in neither: whoever asks again finds it.
    """
    try:
        return await _read(redis, fill, transaction=True)
    except OutOfMemoryError:
        return await _read(redis, fill, transaction=False)


async def _read(redis: Redis, fill: Callable[[Any], None], *, transaction: bool) -> list[Any]:
    async with redis.pipeline(transaction=transaction) as pipe:
        fill(pipe)
        found: list[Any] = await pipe.execute(raise_on_error=False)
        return found
