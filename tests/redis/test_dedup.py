"""Deduplication: one job stands for all that are added with the same id."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewline import Dedup, InvalidOption, Job, Queue, Retry
from crewline.redis.scripts import Result


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


async def test_keep_last_runs_the_latest_though_it_came_while_the_first_waited_for_its_retry(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    keep = Dedup("sync", keep_last_if_active=True)
    seen: list[str] = []

    async def handle(job: Job) -> None:
        seen.append(job.data)
        if seen == ["first"]:
            await queue.add("n", "second", dedup=keep)
            raise Retry(delay=60)

    await start_worker(handle)
    first = await queue.add("n", "first", attempts=2, dedup=keep)
    await until(lambda: queue.redis.zcard(queue.keys.delayed))
    latest = await queue.add("n", "latest", dedup=keep)
    assert (latest.id, latest.added) == (first.id, False)
    await queue.promote(first.id)
    await until(lambda: len(seen) == 3)
    assert seen == ["first", "first", "latest"]
    await until(lambda: queue.redis.zcard(queue.keys.completed))


@pytest.mark.parametrize("waits", [False, True], ids=["runs", "waits for its retry"])
async def test_what_is_kept_waits_for_the_job_that_has_the_id_whatever_other_ends(queue: Queue, waits: bool) -> None:
    keep = Dedup("k", keep_last_if_active=True)
    told = {"letters": "", "token": "t", "lease_ms": 60_000, "worker": "w"}

    async def call(*ended: str, room: int = 1) -> list[str]:
        results = [Result(job_id, "t", "completed", "1") for job_id in ended]
        return [job.id for job in (await queue.scripts.finish_and_fetch(results, room=room, **told)).jobs]

    first = await queue.add("n", "first", dedup=keep)
    assert await call() == [first.id]
    await call(first.id, room=0)
    second = await queue.add("n", "second", dedup=keep)
    assert await call() == [second.id]
    # it runs once more beside the one that has the id now
    await queue.retry(first.id)
    assert await call() == [first.id]
    await queue.add("n", "kept", dedup=keep)
    if waits:
        later = Result(second.id, "t", "retry", "once more", delay_ms=60_000)
        await queue.scripts.finish_and_fetch([later], room=0, **told)
    assert await call(first.id) == []
    if waits:
        await queue.promote(second.id)
        assert await call() == [second.id]
    (kept,) = await call(second.id)
    job = await queue.get_job(kept)
    assert job and job.data == "kept"


async def test_keep_last_leaves_out_what_comes_while_nothing_is_kept_and_nothing_runs(queue: Queue) -> None:
    keep = Dedup("sync", keep_last_if_active=True)
    first = await queue.add("n", 1, delay=60, dedup=keep)
    assert (await queue.add("n", 2, dedup=keep)).id == first.id
    assert not await queue.redis.exists(queue.keys.base + "dn:sync")


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


@pytest.mark.parametrize("ended", [False, True])
async def test_the_last_that_came_while_the_job_ran_runs_whatever_time_to_live_its_id_has(
    queue: Queue, start_worker: Any, until: Any, ended: bool
) -> None:
    seen: list[Any] = []
    go_on = asyncio.Event()

    async def handle(job: Job) -> None:
        seen.append(job.data)
        if job.data == 0:
            await go_on.wait()

    await start_worker(handle)
    keep = Dedup("sync", ttl_seconds=600, keep_last_if_active=True)
    await queue.add("n", 0, dedup=keep)
    await until(lambda: seen == [0])
    for version in (1, 2):
        await queue.add("n", version, dedup=keep)
    # as BullMQ 5 holds it: with a time to live, which may be over before the job is
    if ended:
        await queue.redis.delete(queue.keys.base + "de:sync")
    else:
        await queue.redis.pexpire(queue.keys.base + "de:sync", 600_000)
    go_on.set()
    await until(lambda: seen == [0, 2])


async def test_the_job_that_is_kept_for_later_has_its_own_id_and_holds_the_deduplication_id(queue: Queue) -> None:
    keep = Dedup("sync", ttl_seconds=600, keep_last_if_active=True)
    await queue.add("n", 0, dedup=keep)
    await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=1)
    await queue.add("n", 1, job_id="mine", dedup=keep)
    # whatever it is: a key that does not die with the job must not keep the last one out
    await queue.redis.pexpire(queue.keys.base + "de:sync", 600_000)
    ended = Result("1", "t", "completed", "1")
    await queue.scripts.finish_and_fetch([ended], letters="", token="t", lease_ms=60_000, worker="w", room=0)
    assert await queue.job_state("mine") == "waiting"
    assert await queue.redis.get(queue.keys.base + "de:sync") == b"mine"


async def test_a_cancel_of_the_job_lets_the_one_kept_for_later_run(queue: Queue) -> None:
    keep = Dedup("sync", keep_last_if_active=True)
    await queue.add("n", 0, dedup=keep)
    await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=1)
    await queue.add("n", 1, dedup=keep)
    handed_back = Result("1", "t", "back", "")
    await queue.scripts.finish_and_fetch([handed_back], letters="", token="t", lease_ms=60_000, worker="w", room=0)
    await queue.cancel("1")
    assert (await queue.metrics()).waiting == 1
    assert await queue.redis.exists(queue.keys.base + "dn:sync") == 0


async def test_a_job_that_has_ended_holds_its_id_no_longer_than_a_time(queue: Queue) -> None:
    await queue.add("n", 1, dedup=Dedup("x", ttl_seconds=600))
    await queue.cancel("1")
    await queue.add("n", 2, dedup=Dedup("x", ttl_seconds=60, extend=True, keep_last_if_active=True))
    assert 0 < await queue.redis.pttl(queue.keys.base + "de:x") <= 60_000


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


async def test_the_last_that_was_kept_is_stored_as_any_job(queue: Queue) -> None:
    once = {"dedup": Dedup("d", keep_last_if_active=True)}
    asked: dict[str, Any] = {"letters": "", "lease_ms": 5000, "worker": "w"}
    first = await queue.add("n", 1, **once)
    stored = set(await queue.redis.hkeys(queue.keys.job(first.id)))
    await queue.scripts.finish_and_fetch([], token="t", room=1, **asked)
    await queue.add("last", {"as": "told"}, priority=3, **once)
    fetched = await queue.scripts.finish_and_fetch(
        [Result(first.id, "t", "completed", "1")], token="u", room=1, **asked
    )
    (last,) = fetched.jobs
    job = await queue.get_job(last.id)
    assert job and (job.name, job.data, job.priority) == ("last", {"as": "told"}, 3)
    assert set(await queue.redis.hkeys(queue.keys.job(last.id))) - {b"ats", b"processedOn", b"pb"} == stored
    assert await queue.redis.exists(f"{queue.keys.base}dn:d") == 0


@pytest.mark.parametrize("there", [True, False])
async def test_a_child_that_bullmq_5_has_kept_for_later_has_its_parent_if_that_is_there(
    queue: Queue, there: bool
) -> None:
    asked: dict[str, Any] = {"letters": "", "lease_ms": 5000, "worker": "w"}
    first = await queue.add("n", 1, dedup=Dedup("d", keep_last_if_active=True))
    await queue.scripts.finish_and_fetch([], token="t", room=1, **asked)
    parent = queue.keys.job("parent")
    opts = '{"de": {"id": "d", "keepLastIfActive": true}}'
    link = '{"id": "parent", "queueKey": "bull:emails"}'
    kept = {"name": "n", "data": "2", "opts": opts, "jid": "child", "pk": parent, "pd": link}
    await queue.redis.hset(f"{queue.keys.base}dn:d", mapping=kept | {"pdk": f"{parent}:dependencies"})
    if there:
        await queue.add("n", 1, job_id="parent", delay=60)
    await queue.scripts.finish_and_fetch([Result(first.id, "t", "completed", "1")], token="u", room=0, **asked)
    assert await queue.job_state("child") == "waiting"
    assert await queue.redis.hget(queue.keys.job("child"), "parentKey") == (parent.encode() if there else None)
    assert await queue.redis.smembers(f"{parent}:dependencies") == ({b"bull:emails:child"} if there else set())
