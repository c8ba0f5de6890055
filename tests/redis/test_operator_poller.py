"""Which queues the operator reads, and when: one poller for all that share a Redis."""

from __future__ import annotations

from collections.abc import Iterable

from crewline import Queue
from crewline_operator.model.attention import Attention
from crewline_operator.model.key import Key
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.poller import Poller
from crewline_operator.redis.pollers import Pollers
from crewline_operator.redis.reading import Snapshot, Target
from redis.asyncio import Redis

from tests.redis.polling import EMAILS, KEY, other, polled, redis, until

__all__ = ["polled", "redis"]


async def test_a_change_in_redis_is_told_once(polled: tuple[Pollers, Poller, list[Key]], queue: Queue) -> None:
    _, poller, told = polled

    async def reading() -> Snapshot | None:
        return poller.reading(KEY).snapshot

    await until(reading)
    told.clear()
    await queue.add("a", {})
    await until(reading, lambda seen: seen.waiting == 1)
    assert told == [KEY]
    before = poller.reading(KEY).snapshot
    await until(reading, lambda seen: seen.now_ms > before.now_ms)
    assert told == [KEY], "a read without news is no news"


async def test_a_queue_that_is_asked_for_is_read_at_once_and_no_other_with_it(redis: Redis, redis_url: str) -> None:
    """As many new queues as there are would else be as many reads of all of them."""
    told: list[Key] = []
    pollers = Pollers(told.extend, 60.0)
    emails, reports = Key("JobQueue", "shop", "emails"), Key("JobQueue", "shop", "reports")
    pollers.watch(emails, Endpoint(redis_url, "shown"), EMAILS)
    async with Queue("emails", redis=redis_url) as first, Queue("reports", redis=redis_url) as second:

        async def waiting(key: Key) -> int | None:
            snapshot = pollers.reading(key).snapshot
            return None if snapshot is None else snapshot.waiting

        try:
            assert await until(lambda: waiting(emails), lambda seen: seen == 0) == 0
            for queue in (first, second):
                await queue.add("a", {})
            pollers.watch(reports, Endpoint(redis_url, "shown"), Target("bull", "reports", "reports-dlq"))
            assert await until(lambda: waiting(reports), lambda seen: seen == 1) == 1
            assert await waiting(emails) == 0
            pollers.wake(emails)
            assert await until(lambda: waiting(emails), lambda seen: seen == 1) == 1
            assert told == [emails, reports, emails]
        finally:
            await pollers.close()


async def test_a_poller_that_fails_where_nobody_foresaw_it_reads_on(redis: Redis, redis_url: str) -> None:
    told: list[Key] = []

    def on_change(keys: Iterable[Key]) -> None:
        told.extend(keys)
        if len(told) == 1:
            raise ValueError("unforeseen")

    poller = Poller(Endpoint(redis_url, "shown"), on_change, 0.05)
    poller.watch(KEY, EMAILS)
    poller.start()
    try:
        async with Queue("emails", redis=redis_url) as queue:
            await queue.add("a", {})

            async def waiting() -> int:
                snapshot = poller.reading(KEY).snapshot
                return snapshot.waiting if snapshot is not None else 0

            await until(waiting)
            await queue.add("b", {})
            await until(waiting, lambda seen: seen == 2)
    finally:
        await poller.stop()


async def test_queues_of_one_redis_share_a_poller_which_goes_with_the_last(
    polled: tuple[Pollers, Poller, list[Key]], redis_url: str
) -> None:
    pollers, poller, _ = polled
    other = Key("JobQueue", "shop", "reports")
    assert pollers.watch(other, Endpoint(redis_url, "shown"), Target("bull", "reports", "r-dlq")) is poller
    pollers.unwatch(KEY)
    assert pollers.followed(KEY) is None
    assert pollers.followed(other) == (poller.endpoint, Target("bull", "reports", "r-dlq"))
    pollers.unwatch(other)
    assert pollers.followed(other) is None
    assert pollers.watch(KEY, Endpoint(redis_url, "shown"), EMAILS) is not poller


async def test_a_user_that_may_not_name_its_connections_may_be_read_with(queue: Queue, redis_url: str) -> None:
    await queue.add("a", {})
    await queue.redis.execute_command(
        "ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", "-client|setname"
    )  # type: ignore[no-untyped-call]
    pollers = Pollers(lambda _: None, 0.05)
    try:
        poller = pollers.watch(KEY, Endpoint(redis_url.replace("//", "//plain:secret@"), "shown"), EMAILS)

        async def reading() -> Snapshot | None:
            return poller.reading(KEY).snapshot

        assert (await until(reading)).waiting == 1
    finally:
        await pollers.close()
        await queue.redis.execute_command("ACL", "DELUSER", "plain")  # type: ignore[no-untyped-call]


async def test_queues_are_read_as_often_as_there_is_something_to_see(redis: Redis, redis_url: str) -> None:
    pollers = Pollers(lambda _: None, 0.2)
    reads: dict[Attention, set[int]] = {attention: set() for attention in Attention}

    async def look() -> int:
        for attention, seen in reads.items():
            snapshot = pollers.reading(other(attention.value)[0]).snapshot
            if snapshot is not None:
                seen.add(snapshot.now_ms)
        return len(reads[Attention.STEADY])

    try:
        for attention in Attention:
            key, target = other(attention.value)
            pollers.watch(key, Endpoint(redis_url, "shown"), target)
            pollers.attend(key, attention)
        await until(look, lambda seen: seen >= 5)
        for seen in reads.values():
            seen.clear()
        await until(look, lambda seen: seen >= 10)
        assert len(reads[Attention.CLOSE]) >= 20
        assert len(reads[Attention.ASLEEP]) <= 3
    finally:
        await pollers.close()
