"""A name or an address that leads to another master, while the old one lives on as a replica and keeps its connections.

That is how managed Redis fails over: whoever stays on an old connection is told READONLY for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis
from crewline import Job, Queue, Worker
from redis.asyncio import Redis

from tests import redis_server
from tests.chaos.proxy import Proxy


class Pair:
    """Two servers, and the address at which the master of them is found."""

    def __init__(self, proxy: Proxy, first: Redis, second: Redis, ports: tuple[int, int]) -> None:
        self.proxy, self.first, self.second, self.ports = proxy, first, second, ports
        self.url = proxy.url

    async def fail_over(self) -> None:
        await self.second.replicaof("NO", "ONE")
        await self.first.replicaof("127.0.0.1", self.ports[1])
        self.proxy.port = self.ports[1]


@pytest_asyncio.fixture
async def pair(tmp_path: Path, until: Any) -> AsyncIterator[Pair]:
    with contextlib.ExitStack() as servers:
        one = servers.enter_context(redis_server.start(tmp_path / "first", "--repl-diskless-sync-delay", "0"))
        two = servers.enter_context(redis_server.start(tmp_path / "second", "--replicaof", "127.0.0.1", str(one.port)))
        async with Proxy(one.port) as proxy, Redis(port=one.port) as first, Redis(port=two.port) as second:

            async def in_step() -> bool:
                return bool((await second.info("replication"))["master_link_status"] == "up")

            await until(in_step)
            yield Pair(proxy, first, second, (one.port, two.port))


async def test_a_producer_is_told_once_and_finds_the_new_master_then(pair: Pair) -> None:
    async with Queue("emails", redis=pair.url) as queue:
        # several connections, each of which would be told
        await asyncio.gather(*(queue.add("n", n) for n in range(10)))
        await pair.first.wait(1, 5000)
        await pair.fail_over()
        with pytest.raises(redis.ReadOnlyError):
            await queue.add("n", 1, job_id="own")
        for n in range(10):
            assert (await queue.add("n", 1, job_id=f"own-{n}")).added
        assert [job.added for job in await queue.add_bulk([("n", n) for n in range(500)])] == [True] * 500
        assert await pair.second.exists(queue.keys.job("own-9"))


async def test_a_worker_finds_the_new_master_and_keeps_its_leases_there(pair: Pair, until: Any) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handle(job: Job) -> int:
        if job.name == "long":
            begun.set()
            await go_on.wait()
        return job.attempts_started

    worker = Worker("emails", handle, redis=pair.url, lease_seconds=3, stalled_interval_seconds=60)
    working = asyncio.create_task(worker.run())
    async with Queue("emails", redis=pair.url) as queue:
        long = await queue.add("long", 1)
        await asyncio.wait_for(begun.wait(), 20)
        lock = queue.keys.job(long.id) + ":lock"
        assert await until(lambda: pair.second.exists(lock))
        await pair.fail_over()
        left = [await pair.second.pttl(lock)]

        async def prolonged() -> bool:
            left.append(await pair.second.pttl(lock))
            return sum(later > sooner for sooner, later in itertools.pairwise(left)) > 3

        # longer than a lease lasts: somebody goes on prolonging it
        await until(prolonged, 20)
        async with Queue("emails", redis=f"redis://127.0.0.1:{pair.ports[1]}/0") as beside:
            short = await beside.add("short", 2)
            assert await short.result(timeout=20) == 1
            go_on.set()
            assert await beside.wait_for_result(long.id, 20) == 1
    await worker.stop()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.wait_for(working, 20)
