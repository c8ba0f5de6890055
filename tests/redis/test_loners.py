"""Loners: suspects that have a worker to themselves, since no child can run their handler."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewline import Job, JobFailed, Queue, Router
from crewline.redis.scripts import Scripts

from tests.redis.suspects import a_suspect


async def test_a_loner_whose_worker_had_only_stood_still_is_blamed_for_nothing(queue: Queue, start_worker: Any) -> None:
    crashes: list[int] = []

    async def handle(job: Job) -> None:
        crashes.append(job.crashes)
        if len(crashes) == 1:
            # others count its worker as dead meanwhile
            await queue.redis.delete(queue.keys.job(job.id) + ":lock", queue.keys.stalled_check)
            await asyncio.sleep(0.01)
            found = await queue.scripts.recover_stalled(1, 3, lease_ms=1, once=True)
            assert found.back == [job.id]
            assert await queue.redis.hget(queue.keys.job(job.id), "crashes") == b"1"

    loner = await a_suspect(queue, times=3)
    await start_worker(handle)
    await loner.result(timeout=20)
    assert crashes == [0, 0]


async def test_a_loner_has_its_worker_until_its_job_says_that_it_is_alone_no_more(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A death beside others would be taken for its own."""
    monkeypatch.setattr("crewline.worker.runs.isolation.ALONE_SECONDS", 0.1)
    mark, away, gate = Scripts.mark_alone, [True, True], asyncio.Event()

    async def mark_later(self: Scripts, job_id: str, token: str, alone: bool = True) -> int:
        if not alone and away:
            away.pop()
            raise ConnectionError("Redis is away")
        return await mark(self, job_id, token, alone)

    async def handle(job: Job) -> Any:
        if job.name == "suspect":
            await gate.wait()
        return await queue.redis.hget(queue.keys.job(loner.id), "alone")

    monkeypatch.setattr(Scripts, "mark_alone", mark_later)
    loner = await a_suspect(queue, times=3)
    worker = await start_worker(handle)
    await until(lambda: worker.running == 1)
    assert await queue.redis.hget(queue.keys.job(loner.id), "alone")
    beside = await queue.add("n", {})
    assert await beside.result(timeout=10) is None
    assert not away
    gate.set()
    await loner.result(timeout=10)


async def test_a_loner_of_which_nobody_knows_whether_its_job_says_so_has_its_worker_until_it_does_not(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.runs.isolation.ALONE_SECONDS", 0.1)
    mark, gate = Scripts.mark_alone, asyncio.Event()

    async def unheard(self: Scripts, job_id: str, token: str, alone: bool = True) -> int:
        code = await mark(self, job_id, token, alone)
        if alone:
            raise TimeoutError("it was carried out, and its answer is lost")
        return code

    async def handle(job: Job) -> bool:
        if job.name == "suspect":
            await gate.wait()
        return bool(await queue.redis.hexists(queue.keys.job(loner.id), "alone"))

    monkeypatch.setattr(Scripts, "mark_alone", unheard)
    loner = await a_suspect(queue, times=3)
    worker = await start_worker(handle)
    await until(lambda: worker.running == 1)
    beside = await queue.add("n", {})
    assert not await beside.result(timeout=10)
    gate.set()
    await loner.result(timeout=10)


async def test_a_loner_whose_lease_ran_out_goes_on_where_nobody_else_has_its_job(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was all that its worker ran, and would be blamed for a death that was none."""
    monkeypatch.setattr("crewline.worker.runs.isolation.ALONE_SECONDS", 0.05)
    gate = asyncio.Event()
    lost: list[Job] = []

    async def handle(job: Job) -> bool:
        if job.name == "suspect":
            # as an outage that was longer than the lease
            await queue.redis.delete(queue.keys.job(job.id) + ":lock")
            await gate.wait()
        return bool(await queue.redis.hexists(queue.keys.job(loner.id), "alone"))

    loner = await a_suspect(queue, times=3)
    worker = await start_worker(handle, lease_seconds=2)
    worker.on("lost", lost.append)
    await until(lambda: worker.running == 1)
    beside = await queue.add("n", {})
    assert not await beside.result(timeout=10)
    assert lost == []
    gate.set()
    await loner.result(timeout=10)


async def test_a_loner_that_is_cancelled_holds_up_nobody(queue: Queue, start_worker: Any, until: Any) -> None:
    gate = asyncio.Event()

    async def handle(job: Job) -> str:
        if job.name == "long":
            await gate.wait()
        return "ran"

    worker = await start_worker(handle, concurrency=2)
    await queue.add("long", {})
    await until(lambda: worker.running == 1)
    loner = await a_suspect(queue, times=3)
    await until(lambda: worker._slots.is_shut("exclusive"))
    await loner.cancel("no more")
    with pytest.raises(JobFailed, match="no more"):
        await loner.result(timeout=5)
    assert await (await queue.add("n", {})).result(timeout=5) == "ran"
    gate.set()


async def test_what_comes_behind_a_loner_runs_in_its_old_order(queue: Queue, start_worker: Any) -> None:
    ran: list[str] = []

    async def handle(job: Job) -> None:
        ran.append(job.id)

    loner = await a_suspect(queue, times=3)
    jobs = await queue.add_bulk(("n", {}) for _ in range(5))
    await start_worker(handle)
    for job in jobs:
        await job.result(timeout=20)
    assert ran == [loner.id, *(job.id for job in jobs)]


async def test_suspects_that_need_the_whole_worker_are_fetched_one_at_a_time(queue: Queue, start_worker: Any) -> None:
    ends: list[str] = []

    async def handle(job: Job) -> None: ...

    await queue.pause()
    jobs = [await a_suspect(queue) for _ in range(4)]
    worker = await start_worker(handle)
    worker._slots.on_ended.append(lambda job, result: ends.append(result.outcome))
    await queue.resume()
    for job in jobs:
        await job.result(timeout=20)
    assert ends == ["completed"] * 4


async def test_a_loner_is_alone_until_redis_has_heard_that_it_is_so_no_more(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.runs.isolation.ALONE_SECONDS", 0.05)
    gate, failures = asyncio.Event(), 2
    mark = Scripts.mark_alone

    async def unheard(self: Scripts, job_id: str, token: str, alone: bool = True) -> int:
        nonlocal failures
        if not alone and failures:
            failures -= 1
            raise ConnectionError("Redis is away")
        return await mark(self, job_id, token, alone)

    monkeypatch.setattr(Scripts, "mark_alone", unheard)

    async def handle(job: Job) -> str:
        if job.id == loner.id:
            await gate.wait()
        return "ran"

    loner = await a_suspect(queue, times=3)
    await start_worker(handle)
    assert await (await queue.add("n", {})).result(timeout=20) == "ran"
    assert failures == 0 and await queue.redis.hget(queue.keys.job(loner.id), "alone") is None
    gate.set()
    assert await loner.result(timeout=20) == "ran"


async def test_what_one_has_waited_for_in_vain_holds_up_no_other(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("crewline.worker.runs.isolation.WAIT_SECONDS", 0.5)
    gate = asyncio.Event()

    async def handle(job: Job) -> None:
        if job.name == "long":
            await gate.wait()

    worker = await start_worker(handle, concurrency=4)
    long = await queue.add("long", 1)
    await until(lambda: worker.running == 1)
    monkeypatch.setattr("crewline.worker.runs.isolation.LOOK_SECONDS", 0.01)
    first = await a_suspect(queue, times=3)
    await first.result(timeout=20)
    # from now on any wait would be for ever
    monkeypatch.setattr("crewline.worker.runs.isolation.WAIT_SECONDS", 600)
    for _ in range(3):
        await (await a_suspect(queue, times=3)).result(timeout=20)
    assert len([line for line in caplog.messages if "runs beside others" in line]) == 4
    gate.set()
    await long.result(timeout=20)
    # and one that comes when nothing else runs is alone again
    last = await a_suspect(queue, times=3)
    await last.result(timeout=20)
    assert len([line for line in caplog.messages if "runs beside others" in line]) == 4


async def test_a_suspect_of_a_route_that_came_after_its_worker_keeps_its_attempt(
    queue: Queue, start_worker: Any
) -> None:
    router = Router()

    @router.on("first")
    async def first(job: Job) -> str:
        return "first"

    await start_worker(router)

    @router.on("suspect")
    async def later(job: Job) -> str:
        return "later"

    suspect = await a_suspect(queue, times=1, attempts=1)
    assert await suspect.result(timeout=20) == "later"
