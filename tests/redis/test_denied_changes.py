"""A user that is denied a command is told so, and what the call was about is as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import redis as sync_redis
from crewline import Dedup, Queue
from redis.exceptions import ResponseError

from tests.redis.denying import as_weak


@pytest.fixture
async def queue(admin: sync_redis.Redis, redis_url: str) -> AsyncIterator[Queue]:
    async with Queue("emails", redis=as_weak(redis_url)) as queue:
        yield queue
    admin.flushall()


def deny(admin: sync_redis.Redis, *commands: str) -> None:
    admin.execute_command("ACL", "SETUSER", "weak", *(f"-{command}" for command in commands))


CHANGES: dict[str, Callable[[Queue], Awaitable[Any]]] = {
    "cancel": lambda queue: queue.cancel("a"),
    "remove": lambda queue: queue.remove("a"),
    "retry": lambda queue: queue.retry("a"),
    "update": lambda queue: queue.update_data("a", 2),
    "delay": lambda queue: queue.change_delay("a", 1),
    "priority": lambda queue: queue.change_priority("a", 1),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_who_may_not_look_for_a_job_is_not_told_that_there_is_none(
    admin: sync_redis.Redis, queue: Queue, change: str
) -> None:
    await queue.add("n", 1, job_id="a")
    deny(admin, "hexists")
    with pytest.raises(ResponseError, match=r"can.t run this command|no permissions"):
        await CHANGES[change](queue)


@pytest.mark.parametrize("denied", [["rpush"], ["rpush", "lpush"], ["ltrim"]])
async def test_what_bullmq_5_has_parked_stays_where_it_can_not_be_moved(
    admin: sync_redis.Redis, queue: Queue, denied: list[str]
) -> None:
    await queue.pause()
    admin.rpush(queue.keys.paused, "c", "b", "a")
    deny(admin, *denied)
    with pytest.raises(ResponseError):
        await queue.resume()
    assert admin.lrange(queue.keys.paused, 0, -1) == [b"c", b"b", b"a"]
    assert not admin.exists(queue.keys.wait)


async def test_the_last_that_came_is_kept_until_a_later_one_is_stored(admin: sync_redis.Redis, queue: Queue) -> None:
    dedup = Dedup("x", keep_last_if_active=True)
    await queue.add("n", 1, job_id="a", dedup=dedup)
    admin.lrem(queue.keys.wait, 1, "a")
    admin.lpush(queue.keys.active, "a")
    await queue.add("n", 2, dedup=dedup)
    kept = admin.hgetall("bull:emails:dn:x")
    assert kept[b"data"] == b"2"
    deny(admin, "hset")
    with pytest.raises(ResponseError):
        await queue.add("n", 3, dedup=dedup)
    assert admin.hgetall("bull:emails:dn:x") == kept
