"""The queue that a command is about: one that is there, so that a slip in its name is told and makes no new one."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import typer
from redis.exceptions import ResponseError

from crewline.cli.overview import find_queues, keeps_letters
from crewline.errors import CrewlineError
from crewline.queue.queue import Queue
from crewline.redis.connection import UNAVAILABLE
from crewline.wire.keys import Keys
from crewline.wire.settings import SETTINGS_KEY

#: Seconds that a look for similar names may take: it goes through all keys of a Redis.
SEARCH_SECONDS = 2.0

CreateOption = Annotated[
    bool, typer.Option("--create", help="The queue may be a new one: its name is no slip of the pen.")
]


class NoQueue(CrewlineError):
    """There is no such queue."""


@contextlib.asynccontextmanager
async def opened(
    name: str,
    redis: str,
    prefix: str,
    *,
    create: bool | None = None,
    check: Callable[[Queue], object] | None = None,
    **options: Any,
) -> AsyncIterator[Queue]:
    """A queue that is there; raises NoQueue for one that is not.

    Args:
        create: whether it may be a new one; None where the command has no option that says so.
        check: raises for what is wrong with it whatever is in Redis.
        options: of `Queue`.
    """
    async with Queue(name, redis=redis, prefix=prefix, **options) as queue:
        if check:
            check(queue)
        if not create and not await is_there(queue):
            similar = await similar_names(queue)
            mean = f"; did you mean {' or '.join(similar)}?" if similar else "; crewline queues lists those there are"
            more = "" if create is None else " --create makes it"
            raise NoQueue(f"no queue {name!r} in this Redis (prefix {prefix!r}){mean}{more}")
        yield queue


async def is_there(queue: Queue) -> bool:
    """Whether anything in Redis is a queue's of that name: jobs, letters, settings, workers, or what they leave."""
    letters = queue.dead_letter_queue
    asked = [*queue.keys.declared(), queue.keys.extra("workers"), queue.keys.extra(SETTINGS_KEY)]
    if letters:
        asked += Keys(queue.prefix, letters).declared()
    elif queue.name.endswith("-dlq"):
        # where another queue's letters will go
        asked += Keys(queue.prefix, queue.name.removesuffix("-dlq") or queue.name).declared()
    try:
        return bool(await queue.redis.exists(*asked))
    except ResponseError:
        # not for this user to know; what the command does is
        return True


async def similar_names(queue: Queue) -> list[str]:
    """Names of other queues that may have been meant, the likeliest first."""
    try:
        async with asyncio.timeout(SEARCH_SECONDS):
            names = await find_queues(queue.redis, queue.prefix)
    except (TimeoutError, *UNAVAILABLE):
        return []
    if not queue.name.endswith("-dlq"):
        names = [name for name in names if not keeps_letters(name, names)]
    near = difflib.get_close_matches(queue.name.lower(), [name.lower() for name in names], n=3)
    return [name for wanted in near for name in names if name.lower() == wanted and name != queue.name]
