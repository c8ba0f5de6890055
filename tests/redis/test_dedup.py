"""Deduplication: one job stands for all that are added with the same id."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewline import Dedup, InvalidOption, Job, Queue


async def test_while_a_job_waits_the_same_id_adds_nothing(queue: Queue, start_worker: Any) -> None:
    first = await queue.add("n", 1, dedup="order-7")
    assert (await queue.add("n", 2, dedup="order-7")).id == first.id
    assert (await queue.metrics()).waiting == 1

    async def handle(job: Job) -> Any:
        return job.data

    await start_worker(handle)
    assert await first.result(timeout=5) == 1
    # it has ended: the id is free again
    again = await queue.add("n", 3, dedup="order-7")
    assert again.id != first.id
    assert await again.result(timeout=5) == 3


async def test_throttle_holds_for_its_time_even_after_the_job_has_ended(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> None: ...

    await start_worker(handle)
    throttle = Dedup("tick", ttl_seconds=0.4)
    first = await queue.add("n", 1, dedup=throttle)
    await first.result(timeout=5)
    assert (await queue.add("n", 2, dedup=throttle)).id == first.id
    await asyncio.sleep(0.45)
    assert (await queue.add("n", 3, dedup=throttle)).id != first.id


async def test_debounce_replaces_the_delayed_job_so_that_the_last_one_wins(queue: Queue, start_worker: Any) -> None:
    seen: list[Any] = []

    async def handle(job: Job) -> None:
        seen.append(job.data)

    debounce = Dedup("save", ttl_seconds=5, extend=True, replace=True)
    for version in range(5):
        last = await queue.add("n", version, delay=0.3, dedup=debounce)
    assert (await queue.metrics()).delayed == 1
    await start_worker(handle)
    await last.result(timeout=5)
    assert seen == [4]


async def test_keep_last_runs_the_latest_of_those_that_came_since(queue: Queue, start_worker: Any, until: Any) -> None:
    seen: list[Any] = []
    go_on = asyncio.Event()

    async def handle(job: Job) -> None:
        seen.append(job.data)
        if job.data == 0:
            await go_on.wait()

    await start_worker(handle)
    keep = Dedup("sync", keep_last_if_active=True)
    await queue.add("n", 0, dedup=keep)
    await until(lambda: seen == [0])
    for version in (1, 2, 3):
        await queue.add("n", version, dedup=keep)
    go_on.set()
    await until(lambda: seen == [0, 3])
    await until(lambda: _gone(queue, "de:sync", "dn:sync"))


async def _gone(queue: Queue, *suffixes: str) -> bool:
    return not await queue.redis.exists(*(queue.keys.base + suffix for suffix in suffixes))


async def test_a_holder_that_was_removed_holds_nothing(queue: Queue) -> None:
    first = await queue.add("n", 1, dedup="x")
    await queue.redis.delete(queue.keys.job(first.id))
    await queue.redis.lrem(queue.keys.wait, 1, first.id)
    assert (await queue.add("n", 2, dedup="x")).id != first.id


async def test_removing_the_job_frees_its_id(queue: Queue) -> None:
    first = await queue.add("n", 1, dedup="x")
    assert await first.remove()
    assert (await queue.add("n", 2, dedup="x")).id != first.id


async def test_a_stranger_with_the_holders_id_holds_nothing(queue: Queue) -> None:
    await queue.add("n", 1, dedup="x")
    await queue.redis.delete(queue.keys.job("1"), queue.keys.id)
    stranger = await queue.add("n", 2)
    assert stranger.id == "1"
    assert (await queue.add("n", 3, dedup="x")).id == "2"


@pytest.mark.parametrize("arguments", [{"id": ""}, {"id": "x", "ttl_seconds": 0}, {"id": "x", "extend": True}])
def test_a_wrong_dedup_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="dedup"):
        Dedup(**arguments)
