"""The claim tells whether another way to a Redis leads to the queue that is served, on a real Redis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from crewline import Queue
from crewline_operator.effects.actions import Claim, Follow
from crewline_operator.jobqueue import places as module
from crewline_operator.jobqueue.places import Places
from crewline_operator.model.owner import Owner, claim_key
from crewline_operator.redis.claims import take_claim
from crewline_operator.redis.endpoint import Endpoint
from redis.asyncio import Redis

from tests.redis.test_operator_executor import EMAILS, NOWHERE, REF, Operator, operator, stranger
from tests.unit.operator.factories import jobqueue, jobqueue_object

__all__ = ["operator", "stranger"]

Until = Callable[..., Awaitable[Any]]
KEY = claim_key("bull", "emails")
ME = Owner("cluster-1", "shop", "emails", jobqueue().uid)


def by_name(url: str) -> Endpoint:
    """The same Redis by another host name."""
    assert "127.0.0.1" in url
    return Endpoint(url.replace("127.0.0.1", "localhost"), "localhost")


def elsewhere(url: str) -> str:
    """Another database of it."""
    return url.rpartition("/")[0] + "/1"


@pytest.fixture
async def claimed(operator: Operator, until: Until) -> Operator:
    """The queue is read, and this JobQueue's."""
    await operator.do(Claim(REF, ME, "shown"))
    await until(lambda: operator.pollers.reading(EMAILS).snapshot is not None)
    return operator


def places(operator: Operator) -> Places:
    return Places(pollers=operator.pollers, bulkheads=operator.bulkheads)


async def test_another_way_to_the_same_claim_is_the_same_place(claimed: Operator, redis_url: str, until: Until) -> None:
    compared, way = places(claimed), by_name(redis_url)
    assert await compared.is_same(jobqueue(), way)
    await claimed.do(Follow(way, jobqueue().target))
    assert await compared.is_same(jobqueue(), way), "it stays so until it was read"
    await until(lambda: claimed.pollers.reading(EMAILS).snapshot is not None)
    assert await compared.is_same(jobqueue(), way)


async def test_a_redis_without_the_claim_or_with_an_earlier_one_is_another(
    claimed: Operator, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared, other = places(claimed), Endpoint(elsewhere(redis_url), "other")
    assert not await compared.is_same(jobqueue(), NOWHERE)
    assert not await compared.is_same(jobqueue(), other)
    async with Redis.from_url(other.url) as there:
        # It was given up there, and that was not heard.
        assert await take_claim(there, KEY, ME, None)
        assert not await compared.is_same(jobqueue(), other), "it was asked just now"
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
        assert not await compared.is_same(jobqueue(), other)
        await there.flushdb()


async def test_where_the_served_way_leads_nowhere_that_the_claim_is_its_own_will_do(
    stranger: Operator, queue: Queue, redis_url: str, until: Until
) -> None:
    compared = places(stranger)
    assert await take_claim(queue.redis, KEY, ME, None)
    await stranger.do(Follow(NOWHERE, jobqueue().target))
    assert not await compared.is_same(jobqueue(), by_name(redis_url)), "it is not known yet whether it can be read"
    await until(lambda: stranger.pollers.reading(EMAILS).fault is not None)
    assert await compared.is_same(jobqueue(), by_name(redis_url))


async def test_an_edit_of_the_way_to_the_redis_is_no_move_and_one_to_another_redis_is(
    claimed: Operator, redis_url: str
) -> None:
    observer = claimed.observer()
    status = {"served": {"queue": "emails", "redis": {"url": redis_url, "prefix": "bull"}}, "redis": "as it was"}
    port = redis_url.rpartition(":")[2].partition("/")[0]
    for url, moves in (
        (f"redis://127.1:{port}/0", False),
        (f"redis://127.1:{port}/1", True),
        ("redis://127.0.0.1:1/0", True),
    ):
        edited = jobqueue_object(redis={"url": url, "prefix": "bull"}) | {"status": status}
        settled = await observer.settle(edited)
        assert (settled.move is not None, settled.same_place) == (moves, not moves)
        assert settled.jobqueue.redis.url == (redis_url if moves else url)
    renamed = jobqueue_object(queue="letters", redis={"url": f"redis://127.1:{port}/0", "prefix": "bull"})
    assert (await observer.settle(renamed | {"status": status})).move is not None


@pytest.mark.parametrize("claim", [replace(ME, uid="another"), None])
async def test_the_claim_of_another_jobqueue_makes_no_place_the_same(
    stranger: Operator, queue: Queue, redis_url: str, until: Until, claim: Owner | None
) -> None:
    if claim is not None:
        assert await take_claim(queue.redis, KEY, claim, None)
    else:
        await queue.redis.set(KEY, "x" * 1_000_000, ex=60)
    await stranger.do(Follow(NOWHERE, jobqueue().target))
    await until(lambda: stranger.pollers.reading(EMAILS).fault is not None)
    assert not await places(stranger).is_same(jobqueue(), by_name(redis_url))
