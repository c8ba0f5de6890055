"""A queue without workers is woken by what is added, without being polled; and what that can't see is polled.

Polling is so rare here (sleepers.py) that only an event can have told what is seen, but where a test says so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from crewline import Queue
from crewline_operator.model.attention import Attention
from crewline_operator.redis.answers import ANSWER_MAX_BYTES
from redis.asyncio import Redis

from tests import redis_server
from tests.chaos.proxy import Proxy
from tests.redis.sleepers import POLL_SECONDS, asleep

Until = Callable[..., Awaitable[Any]]

#: What is polled is seen within the time that a test waits; what sleeps, and is read once in ten times this, is not.
OFTEN_SECONDS = 2.0


async def test_what_is_added_is_read_at_once_and_no_other_queue_with_it(redis_url: str, until: Until) -> None:
    async with asleep(redis_url, "emails", "reports") as sleepers:
        await until(lambda: sleepers.waiting("emails") == sleepers.waiting("reports") == 0)
        read_ms = sleepers.read_ms("reports")
        sleepers.told.clear()
        for number in range(1, 4):
            await sleepers.add("emails")
            await until(lambda: sleepers.waiting("emails") == number)  # noqa: B023
        assert set(sleepers.told) == {sleepers.key("emails")}
        assert sleepers.read_ms("reports") == read_ms


async def test_what_is_added_while_a_queue_falls_asleep_is_seen(redis_url: str, until: Until) -> None:
    """Whichever comes first: its read, its add, or the next block of the reader, which waits for another one."""
    async with asleep(redis_url, "other") as sleepers, Queue("other", redis=redis_url):
        await until(lambda: sleepers.waiting("other") == 0)
        for number in range(30):
            name = f"q{number}"
            async with Queue(name, redis=redis_url) as queue:
                adding = asyncio.create_task(queue.add("a", {}))
                await asyncio.sleep(number / 10_000)
                sleepers.sleep(name)
                await adding
        await until(lambda: all(sleepers.waiting(f"q{number}") == 1 for number in range(30)))


async def test_a_queue_with_workers_is_not_waited_for_and_one_whose_workers_went_is_again(
    redis_url: str, until: Until
) -> None:
    async with asleep(redis_url, "emails") as sleepers, Queue("emails", redis=redis_url) as queue:
        await until(lambda: sleepers.waiting("emails") == 0)
        sleepers.poller.attend(sleepers.key("emails"), Attention.STEADY)
        await queue.add("a", {})
        await until(lambda: waits_for_nothing(queue.redis))
        assert sleepers.waiting("emails") == 0
        sleepers.poller.attend(sleepers.key("emails"), Attention.ASLEEP)
        await until(lambda: sleepers.waiting("emails") == 1)
        await queue.add("a", {})
        await until(lambda: sleepers.waiting("emails") == 2)


async def waits_for_nothing(redis: Redis) -> bool:
    """Whether the last block has ended, and none followed."""
    clients = await redis.client_list()
    blocked = [each for each in clients if each["name"] == "crewline-operator-wake" and "b" in each["flags"]]
    return not blocked


async def test_a_stream_that_is_none_blinds_no_other_queue(
    redis_url: str, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    async with asleep(redis_url, "emails", "reports") as sleepers, Redis.from_url(redis_url) as redis:
        await until(lambda: sleepers.waiting("emails") == sleepers.waiting("reports") == 0)
        await redis.set("bull:reports:events", "no stream")
        await until(lambda: "'bull:reports:events'" in caplog.text)
        await sleepers.add("emails")
        await until(lambda: sleepers.waiting("emails") == 1)
        await redis.delete("bull:reports:events")


async def test_an_event_that_is_too_large_blinds_no_other_queue(
    redis_url: str, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    async with asleep(redis_url, "emails", "reports", "large") as sleepers, Redis.from_url(redis_url) as redis:
        await until(lambda: all(sleepers.waiting(name) == 0 for name in ("emails", "reports", "large")))
        await redis.xadd("bull:large:events", {"returnvalue": b"x" * (ANSWER_MAX_BYTES + 1)})
        await until(lambda: "too large an event in 'bull:large:events'" in caplog.text)
        for name in ("emails", "reports"):
            await sleepers.add(name)
        await until(lambda: sleepers.waiting("emails") == sleepers.waiting("reports") == 1)
        await redis.delete("bull:large:events")


async def test_a_wake_reader_that_fails_where_nobody_foresaw_it_wakes_on(
    redis_url: str, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with asleep(redis_url, "emails") as sleepers:
        await until(lambda: sleepers.waiting("emails") == 0)
        with monkeypatch.context() as patch:
            failed = asyncio.Event()

            def woke(*_: object) -> None:
                failed.set()
                raise ValueError("unforeseen")

            patch.setattr(sleepers.poller._wakes._groups[0].watched, "woke", woke)
            await sleepers.add("emails")
            await asyncio.wait_for(failed.wait(), 5)
        await until(lambda: sleepers.waiting("emails") == 1)
        await sleepers.add("emails")
        await until(lambda: sleepers.waiting("emails") == 2)


async def test_a_queue_whose_events_can_not_be_read_is_polled(redis_url: str, until: Until) -> None:
    async with asleep(redis_url, "reports", poll_seconds=OFTEN_SECONDS) as sleepers, Redis.from_url(redis_url) as redis:
        await redis.set("bull:reports:events", "no stream")
        await until(lambda: sleepers.waiting("reports") == 0)
        await redis.lpush("bull:reports:wait", "1")
        await until(lambda: sleepers.waiting("reports") == 1)
        await redis.delete("bull:reports:events", "bull:reports:wait")


@pytest.mark.parametrize(
    ("rights", "poll_seconds", "seen"),
    [
        ("~bull:emails*:* ~bull-crewline:* ~bull:reports:[^e]* ~bull:reports-dlq:*", POLL_SECONDS, ["emails"]),
        ("~bull:emails*:* ~bull-crewline:* ~bull:reports:[^e]* ~bull:reports-dlq:*", OFTEN_SECONDS, ["reports"]),
        ("~* -xread", OFTEN_SECONDS, ["emails", "reports"]),
    ],
    ids=["those that may be read are woken", "the one that may not is polled", "all are polled"],
)
async def test_a_user_that_may_not_read_events_is_no_fault_of_other_queues(
    redis_url: str, until: Until, rights: str, poll_seconds: float, seen: list[str]
) -> None:
    async with Redis.from_url(redis_url) as redis:
        await redis.execute_command("ACL", "SETUSER", "shop", "reset", "on", ">pw", "+@all", *rights.split())
        url = redis_url.replace("redis://", "redis://shop:pw@")
        async with asleep(url, "emails", "reports", poll_seconds=poll_seconds, added_by=redis_url) as sleepers:
            await until(lambda: sleepers.waiting("emails") == sleepers.waiting("reports") == 0)
            for name in seen:
                await sleepers.add(name)
            await until(lambda: all(sleepers.waiting(name) == 1 for name in seen))
        await redis.execute_command("ACL", "DELUSER", "shop")


async def test_a_redis_that_goes_and_comes_back_without_its_data_wakes_queues_again(
    tmp_path: Path, until: Until
) -> None:
    server = redis_server.start(tmp_path)
    try:
        async with asleep(server.url, "emails") as sleepers:
            await until(lambda: sleepers.waiting("emails") == 0)
            await sleepers.add("emails")
            await until(lambda: sleepers.waiting("emails") == 1)
            server.stop()
            await until(lambda: sleepers.waiting("emails") == -1)
            server = redis_server.start(tmp_path, port=server.port)
            await until(lambda: sleepers.waiting("emails") == 0, 20)
            await sleepers.add("emails")
            await until(lambda: sleepers.waiting("emails") == 1)
    finally:
        server.stop()


async def test_a_connection_that_died_without_a_word_is_replaced(
    redis_url: str, redis_server: redis_server.RedisServer, until: Until
) -> None:
    async with Proxy(redis_server.port) as proxy, asleep(proxy.url, "emails", added_by=redis_url) as sleepers:
        # Only what is open by then dies.
        await until(lambda: sleepers.poller._wakes.waits_for(sleepers.key("emails")))
        proxy.black_hole()
        await until(lambda: sleepers.waiting("emails") == -1, 20)
        await until(lambda: sleepers.waiting("emails") == 0, 20)
        await sleepers.add("emails")
        await until(lambda: sleepers.waiting("emails") == 1, 20)


async def test_a_flood_of_events_on_a_queue_that_stays_asleep_does_not_spin(redis_url: str, until: Until) -> None:
    async with asleep(redis_url, "emails", "reports") as sleepers, Queue("emails", redis=redis_url) as queue:
        await until(lambda: sleepers.waiting("emails") == sleepers.waiting("reports") == 0)
        await queue.pause()
        await queue.redis.config_resetstat()
        began, added = time.monotonic(), 0
        while added < 2000 or time.monotonic() < began + 2:
            await queue.add("a", {})
            added += 1
        blocks = (await queue.redis.info("commandstats"))["cmdstat_xread"]["calls"]
        assert blocks <= 20 + 6 * (time.monotonic() - began), f"{blocks} for {added} events"
        await sleepers.add("reports")
        await until(lambda: sleepers.waiting("reports") == 1)
        await until(lambda: sleepers.waiting("emails") == added)


async def test_it_takes_one_connection_more_however_many_queues_sleep(redis_url: str, until: Until) -> None:
    names = [f"q{number}" for number in range(200)]
    async with asleep(redis_url, *names) as sleepers, Redis.from_url(redis_url) as redis:
        await until(lambda: all(sleepers.waiting(name) == 0 for name in names))
        await sleepers.add("q199")
        await until(lambda: sleepers.waiting("q199") == 1)
        clients = [each["name"] for each in await redis.client_list()]
        assert sorted(name for name in clients if name.startswith("crewline")) == [
            "crewline-operator",
            "crewline-operator-wake",
        ]
