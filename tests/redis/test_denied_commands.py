"""A user that is denied a command while it is at work loses no job by it: each is in a state, whatever was refused."""

from __future__ import annotations

import contextlib

import pytest
import redis as sync_redis
from crewline import CrewlineError, Queue
from redis.exceptions import ResponseError

from tests.redis.denying import CASES, CATEGORIES, none_is_lost, off


@pytest.mark.parametrize("name", CASES)
async def test_no_job_is_in_no_state_or_in_two(admin: sync_redis.Redis, redis_url: str, name: str) -> None:
    await none_is_lost(admin, redis_url, name, lambda commands: [[each] for each in (*commands, *CATEGORIES)])


@pytest.mark.parametrize("name", CASES)
async def test_an_event_stream_that_takes_no_more_loses_no_job(
    admin: sync_redis.Redis, redis_url: str, name: str
) -> None:
    async with Queue("emails", redis=redis_url) as queue:
        call = await CASES[name](queue)
        admin.execute_command("XSETID", queue.keys.events, f"{2**64 - 1}-{2**64 - 1}")
        refused: ResponseError | None = None
        try:
            await call()
        except ResponseError as error:
            refused = error
        assert refused is None or "bull:emails:events" in str(refused)
        assert refused is None or "delete it" in str(refused)
        assert not off(admin)
        admin.delete(queue.keys.events)
        with contextlib.suppress(CrewlineError):
            await call()
        assert not off(admin)
    admin.flushall()
