"""How the operator bears a Redis that goes and comes back, and queues that it can't read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crewline import Queue
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Key
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.poller import Poller
from crewline_operator.redis.pollers import Pollers
from crewline_operator.redis.reading import Reading, Snapshot
from crewline_operator.redis.snapshot import read_snapshots
from redis.asyncio import Redis

from tests import redis_server
from tests.redis.polling import EMAILS, KEY, other, polled, redis, until

__all__ = ["polled", "redis"]


async def test_a_redis_that_goes_is_a_fault_and_one_that_comes_back_is_read_again(tmp_path: Path) -> None:
    pollers = Pollers(lambda _: None, 0.05)

    async def fault() -> str:
        found = poller.reading(KEY).fault
        return found.reason if found else ""

    async def waiting() -> int | None:
        seen = poller.reading(KEY).snapshot
        return seen.waiting if seen else None

    server = redis_server.start(tmp_path)
    poller = pollers.watch(KEY, Endpoint(server.url, "shown"), EMAILS)
    try:
        await until(waiting, lambda seen: seen == 0)
        server.stop()
        await until(fault, lambda seen: seen == "RedisUnreachable")
        assert await waiting() is None, "no number older than the fault is given out"
        server = redis_server.start(tmp_path, port=server.port)
        async with Queue("emails", redis=server.url) as queue:
            await queue.add("a", {})
        await until(waiting, lambda seen: seen == 1)
        assert await fault() == ""
    finally:
        await pollers.close()
        server.stop()


async def test_a_wrong_password_is_told_apart(redis: Redis, redis_url: str) -> None:
    pollers = Pollers(lambda _: None, 0.05)
    wrong = redis_url.replace("redis://", "redis://nobody:wrong@")
    poller = pollers.watch(KEY, Endpoint(wrong, "shown"), EMAILS)

    async def fault() -> Any:
        return poller.reading(KEY).fault

    found = await until(fault)
    assert found.reason == "RedisAuthFailed"
    assert "wrong" not in found.message
    await pollers.close()


async def test_a_key_of_the_wrong_type_is_the_fault_of_its_own_queue(redis: Redis, queue: Queue) -> None:
    _, reports = other("reports")
    await queue.add("a", {})
    await redis.set("bull:reports:wait", "no list")
    seen = await read_snapshots(redis, [reports, EMAILS])
    assert isinstance(seen[EMAILS], Snapshot) and seen[EMAILS].waiting == 1
    fault = seen[reports]
    assert isinstance(fault, Fault) and fault.reason == "RedisWrongType"
    assert "'bull:reports:wait'" in fault.message
    await redis.delete("bull:reports:wait")


async def test_what_a_user_may_not_read_is_the_fault_of_that_queue_and_nothing_of_another_shows(
    redis: Redis, redis_url: str
) -> None:
    allowed = ("~bull:emails:*", "~bull:emails-dlq:*", "~bull-crewline:emails:*", "+@all", "-@dangerous")
    await redis.execute_command("ACL", "SETUSER", "shop", "reset", "on", ">pw", *allowed)
    told: list[Key] = []
    pollers = Pollers(told.extend, 0.05)
    endpoint = Endpoint(redis_url.replace("redis://", "redis://shop:pw@"), "shown")
    key, reports = other("reports")
    poller = pollers.watch(KEY, endpoint, EMAILS)
    pollers.watch(key, endpoint, reports)

    async def readings() -> Any:
        return (poller.reading(KEY), poller.reading(key))

    fine, refused = await until(readings, lambda seen: all(each != Reading() for each in seen))
    assert fine.snapshot is not None and fine.fault is None
    assert refused.snapshot is None and refused.fault.reason == "RedisPermissionDenied"
    assert "'bull:reports:" in refused.fault.message and "emails" not in refused.fault.message
    await pollers.close()
    await redis.execute_command("ACL", "DELUSER", "shop")


async def test_a_fault_of_a_queue_is_told_once_and_gone_once_it_is_mended(
    polled: tuple[Pollers, Poller, list[Key]], redis: Redis
) -> None:
    _, poller, told = polled
    await redis.set("bull:emails:delayed", "no set")

    async def reading() -> Reading:
        return poller.reading(KEY)

    await until(reading, lambda seen: seen.fault is not None)
    told.clear()
    await poller.poll_once()
    assert told == []
    await redis.delete("bull:emails:delayed")
    mended = await until(reading, lambda seen: seen.fault is None)
    assert mended.snapshot is not None
    assert told == [KEY]
