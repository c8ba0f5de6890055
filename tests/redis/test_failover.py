"""A failover behind one address: the old master lives on as a replica, and the links to it stay as they are."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from crewline import Job, Queue, Worker
from crewline.redis.connection import UNAVAILABLE
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError, ResponseError

from tests import redis_server
from tests.chaos.proxy import Proxy
from tests.redis.process_handlers import until_refused_once


@dataclass
class Address:
    """One address, with a master and its replica behind it."""

    proxy: Proxy
    master: Redis
    replica: Redis

    @property
    def url(self) -> str:
        return self.proxy.url

    def lead_to(self, server: Redis) -> None:
        """Links that are made from now on end there."""
        self.proxy.port = _port(server)

    async def promote(self) -> None:
        """Makes the replica a master, once it has all that the master has."""
        async with self.master.client() as master:
            await master.set("written", 1)
            assert await master.wait(1, 10_000) == 1
        await self.replica.execute_command("REPLICAOF", "NO", "ONE")

    async def swap_roles(self) -> None:
        await self.promote()
        await self.master.execute_command("REPLICAOF", "127.0.0.1", _port(self.replica))

    async def fail_over(self) -> None:
        self.lead_to(self.replica)
        await self.swap_roles()


def _port(server: Redis) -> int:
    return int(server.connection_pool.connection_kwargs["port"])


@pytest_asyncio.fixture
async def address(tmp_path: Path, until: Any) -> AsyncIterator[Address]:
    async with contextlib.AsyncExitStack() as stack:
        options = ("--repl-diskless-sync-delay", "0")
        first = stack.enter_context(redis_server.start(tmp_path / "first", *options))
        second = stack.enter_context(
            redis_server.start(tmp_path / "second", *options, "--replicaof", "127.0.0.1", str(first.port))
        )
        master, replica = [await stack.enter_async_context(Redis.from_url(each.url)) for each in (first, second)]
        proxy = await stack.enter_async_context(Proxy(first.port))

        async def follows() -> bool:
            return bool((await replica.info("replication"))["master_link_status"] == "up")

        await until(follows)
        yield Address(proxy, master, replica)
        # a server that is to save, and can't, does not end when it is told to
        await master.config_set("save", "")


@contextlib.asynccontextmanager
async def _running(url: str, handler: Callable[[Job], Any], **options: Any) -> AsyncIterator[Worker]:
    worker = Worker("emails", handler, redis=url, **options)
    task = asyncio.create_task(worker.run())
    try:
        await asyncio.wait_for(worker.wait_ready(), 20)
        yield worker
    finally:
        await worker.stop(grace_seconds=0)
        await asyncio.wait_for(task, 20)


async def _add_until_taken(queue: Queue, until: Any) -> None:
    async def added() -> bool:
        with contextlib.suppress(*UNAVAILABLE):
            return (await queue.add("n", 1)).added
        return False

    await until(added)


async def test_a_busy_worker_keeps_its_leases_writes_its_results_and_fetches_at_the_new_master(
    address: Address, until: Any
) -> None:
    gate = asyncio.Event()
    lost: list[Job] = []

    async def handle(job: Job) -> None:
        await gate.wait()

    async with Queue("emails", redis=address.url) as queue:
        jobs = await queue.add_bulk(("n", n) for n in range(6))
        async with _running(address.url, handle, concurrency=2, lease_seconds=3) as worker:
            worker.on("lost", lost.append)
            # no slot is free, so that nothing of it is blocked in Redis and hears of the change
            await until(lambda: worker.running == 2 and not worker._watch.armed)
            held = [key async for key in address.master.scan_iter("bull:emails:*:lock")]
            given = [await address.master.pexpiretime(key) for key in held]

            async def prolonged_before() -> bool:
                return all([await address.master.pexpiretime(key) > end for key, end in zip(held, given, strict=True)])

            await until(prolonged_before)
            await address.fail_over()
            ends = [await address.replica.pexpiretime(key) for key in held]
            assert len(held) == 2

            async def prolonged() -> bool:
                return all([await address.replica.pexpiretime(key) > end for key, end in zip(held, ends, strict=True)])

            await until(prolonged)
            gate.set()

            async def ended() -> bool:
                return await address.replica.zcard(queue.keys.completed) == 6

            await until(ended, 20)
    assert not lost
    async with Queue("emails", redis=address.url) as queue:
        told = [await queue.get_job(job.id) for job in jobs]
    assert [(job.attempts_started, job.stalled_count) for job in told if job] == [(1, 0)] * 6


async def test_a_child_writes_at_the_new_master(address: Address, until: Any) -> None:
    async with Queue("emails", redis=address.url) as queue:
        job = await queue.add("n", None)
        async with _running(address.url, until_refused_once, execution="process", lease_seconds=3):

            async def begun() -> bool:
                return bool(await address.replica.hget(queue.keys.job(job.id), "progress"))

            await until(begun, 20)
            await address.fail_over()

            async def ended() -> Any:
                return await address.replica.hget(queue.keys.job(job.id), "returnvalue")

            assert await until(ended, 20) == b'"written"'


async def _demoted(address: Address, until: Any) -> None:
    await address.swap_roles()


async def _cut_off_as_a_replica(address: Address, until: Any) -> None:
    await address.promote()
    await address.master.config_set("replica-serve-stale-data", "no")
    await address.master.execute_command("REPLICAOF", "127.0.0.1", 1)


async def _cut_off_as_a_master(address: Address, until: Any) -> None:
    await address.promote()
    await address.master.config_set("min-replicas-to-write", 1)


async def _unable_to_save(address: Address, until: Any) -> None:
    await address.promote()
    folder = (await address.master.config_get("dir"))["dir"]
    # what is saved is to take the place of a file of that name
    (Path(folder) / "dump.rdb").mkdir()
    await address.master.config_set("save", "3600 1000000")
    await address.master.bgsave()

    async def failed() -> bool:
        return bool((await address.master.info("persistence"))["rdb_last_bgsave_status"] == "err")

    await until(failed)


@pytest.mark.parametrize(
    ("old_master", "says"),
    [
        (_demoted, "read only replica"),
        (_cut_off_as_a_replica, "MASTER is down"),
        (_cut_off_as_a_master, "NOREPLICAS"),
        (_unable_to_save, "MISCONF"),
    ],
)
async def test_a_producer_adds_at_the_new_master(address: Address, until: Any, old_master: Any, says: str) -> None:
    async with Queue("emails", redis=address.url) as queue:
        # as many connections as a burst leaves: one refusal tells of all
        await asyncio.gather(*(queue.add("n", n) for n in range(20)))
        await old_master(address, until)
        address.lead_to(address.replica)
        with pytest.raises(ResponseError, match=says):
            await queue.add("n", 1)
        assert (await queue.add("n", 1)).added
        assert await address.replica.llen(queue.keys.wait) == 21


async def test_a_queue_over_a_client_of_ones_own_adds_at_the_new_master(address: Address, until: Any) -> None:
    async with Redis.from_url(address.url) as client, Queue("emails", redis=client) as queue:
        await queue.add("n", 0)
        await address.fail_over()
        await _add_until_taken(queue, until)
        assert await address.replica.llen(queue.keys.wait) == 2


async def test_an_address_that_changes_after_the_roles_did_is_followed(address: Address, until: Any) -> None:
    async with Queue("emails", redis=address.url) as queue:
        await queue.add("n", 0)
        await address.swap_roles()
        with pytest.raises(ReadOnlyError):
            await queue.add("n", 1)
        # this one is made anew, and to the old master once more
        with pytest.raises(ReadOnlyError):
            await queue.add("n", 1)
        address.lead_to(address.replica)
        await _add_until_taken(queue, until)


async def test_who_waits_for_a_result_hears_it_though_the_old_master_is_cut_off(address: Address, until: Any) -> None:
    async with Queue("emails", redis=address.url) as queue:
        job = await queue.add("n", 0)
        waiting = asyncio.create_task(job.result())
        first: set[str] = await until(lambda: _readers(address.master))

        async def is_back() -> bool:
            return bool(await _readers(address.master) - first)

        await address.swap_roles()
        # who was blocked there is sent away by that, and back before the address leads elsewhere
        await until(is_back)
        await address.master.execute_command("REPLICAOF", "127.0.0.1", 1)
        address.lead_to(address.replica)
        await address.replica.xadd(queue.keys.events, {"event": "completed", "jobId": job.id, "returnvalue": "7"})
        assert await asyncio.wait_for(waiting, 30) == 7


async def _readers(server: Redis) -> set[str]:
    return {
        each["id"]
        for each in await server.client_list()
        if each["name"] == "crewline-events" and each["cmd"] == "xread"
    }


async def test_a_redis_that_is_read_only_for_long_is_not_flooded_with_connections(address: Address) -> None:
    async with Queue("emails", redis=address.url) as queue:
        await queue.add("n", 0)
        await address.swap_roles()
        before = (await address.master.info("stats"))["total_connections_received"]
        began = time.monotonic()
        for n in range(500):
            with pytest.raises(ReadOnlyError):
                await queue.add("n", n)
        made = (await address.master.info("stats"))["total_connections_received"] - before
        # one at once, then one every other second; and the replica's own
        assert 1 <= made <= 3 + (time.monotonic() - began) / 2
