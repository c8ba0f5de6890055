"""What puts a moved job back may be denied what it asks: that nobody may look is not that none is there."""

from __future__ import annotations

import contextlib

import pytest
import redis as sync_redis
from crewline import CrewlineError, Queue
from redis.exceptions import ResponseError

from tests.redis.denying import CASES, as_weak, none_is_lost, off
from tests.redis.leaks import LISTS, SETS

#: What moves jobs from one state to another, and is undone where it is refused.
MOVES = (
    "promotes", "retries_jobs", "fetches_from_wherever_jobs_are", "recovers", "replays_a_letter", "cleans_failed_jobs",
)  # fmt: skip
#: What the undoing asks.
ASKED = {"EXISTS", "HLEN", "LPOS", "LRANGE", "ZSCORE", "ZRANK", "TYPE", "GET", "HGET", "LREM"}


@pytest.mark.parametrize("name", MOVES)
async def test_none_is_lost_where_two_commands_are_denied(admin: sync_redis.Redis, redis_url: str, name: str) -> None:
    def pairs(commands: list[str]) -> list[list[str]]:
        found = sorted({tuple(sorted((a, b))) for a in commands for b in ASKED if a != b})
        return [list(pair) for pair in found]

    await none_is_lost(admin, redis_url, name, pairs)


@pytest.mark.parametrize("name", ["promotes", "retries_jobs", "fetches_from_wherever_jobs_are", "recovers"])
async def test_none_is_lost_where_the_keys_of_jobs_are_denied(
    admin: sync_redis.Redis, redis_url: str, name: str
) -> None:
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        call = await CASES[name](queue)
        jobs = [key for key in admin.scan_iter("bull:emails:*", _type="hash") if admin.hexists(key, "opts")]
        others = [key.decode() for key in admin.scan_iter("*") if key not in jobs]
        allowed = {*others, *(queue.keys.base + name for name in (*LISTS, *SETS, "marker", "id", "pc", "limiter"))}
        admin.execute_command("ACL", "SETUSER", "weak", "resetkeys", *(f"~{key}" for key in allowed))
        with contextlib.suppress(ResponseError, CrewlineError):
            await call()
        assert not off(admin)
        admin.execute_command("ACL", "SETUSER", "weak", "~*")
        await call()
        assert not off(admin)
    admin.flushall()
