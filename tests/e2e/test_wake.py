"""A queue without workers has one as soon as there is a job, whoever added it; none for what its limits hold back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from crewline_operator.model.demand import BY_HAND

from tests.e2e.inside import Inside
from tests.e2e.scene import until
from tests.interop.peers import Peer

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: So rarely are queues read that only an event can have told what is seen within SOON_SECONDS.
POLL_SECONDS = 3600.0
SOON_SECONDS = 30.0


@pytest_asyncio.fixture(loop_scope="session")
async def node(inside: Inside) -> AsyncIterator[Peer]:
    """An unmodified BullMQ client on the test's Redis."""
    peer = Peer("bullmq6", inside.redis.port)
    yield peer
    peer.stop()


async def sleeps(inside: Inside, name: str, **spec: Any) -> None:
    """Apply a JobQueue, and wait until it is known to need no worker."""
    await inside.scene.apply(inside.jobqueue(name, **spec))
    await inside.scene.wait_condition(name, "Ready", "ScaledToZero")


async def test_a_job_that_is_added_gets_a_worker_without_any_polling(inside: Inside) -> None:
    async with inside.operator(poll_seconds=POLL_SECONDS):
        await sleeps(inside, "sleeper")
        await sleeps(inside, "other")
        await inside.scene.queue("sleeper").add("hello", {})
        await until("replicas are patched", lambda: inside.scene.replicas("sleeper"), seconds=SOON_SECONDS)
        assert await inside.scene.replicas("other") == 0


async def test_a_job_of_an_unmodified_node_producer_gets_a_worker_without_any_polling(
    inside: Inside, node: Peer
) -> None:
    async with inside.operator(poll_seconds=POLL_SECONDS):
        await sleeps(inside, "sleeper")
        theirs = await node.open("Queue", "sleeper")
        await theirs("add", "hello", {}, {})
        await until("replicas are patched", lambda: inside.scene.replicas("sleeper"), seconds=SOON_SECONDS)
        await node.close_all()


async def test_a_delayed_job_gets_a_worker_ahead_of_its_time_without_any_polling(inside: Inside) -> None:
    async with inside.operator(poll_seconds=POLL_SECONDS):
        await sleeps(inside, "sleeper")
        await inside.scene.queue("sleeper").add("hello", {}, delay=6)
        await until("replicas are patched", lambda: inside.scene.replicas("sleeper"), seconds=SOON_SECONDS)
        assert (await inside.scene.queue("sleeper").metrics()).delayed == 1
        assert await inside.scene.wait_event("sleeper", "ScaledUp")


async def test_jobs_that_a_limit_holds_back_get_no_worker_until_it_is_lifted(inside: Inside) -> None:
    async with inside.operator(status_seconds=0.5):
        queue = inside.scene.queue("sleeper")
        await queue.redis.set(queue.keys.limiter, BY_HAND, ex=3600)
        await queue.add_bulk([("hello", {})] * 30)
        await sleeps(inside, "sleeper")
        await inside.scene.wait("sleeper", "counts them", lambda seen: seen["status"]["counts"]["waiting"] == 30)
        assert await inside.scene.replicas("sleeper") == 0
        await queue.redis.delete(queue.keys.limiter)
        await until("three workers", lambda: inside.scene.replicas("sleeper"), lambda seen: seen == 3, SOON_SECONDS)
