"""A lease that ran out while nobody took the job: Redis was away, or the process stood still. The run goes on."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
import redis as sync_redis
from crewline import Job, LeaseLost, Queue
from crewline.redis.scripts import Result
from crewline.wire.text import text

from tests.redis import process_handlers
from tests.redis.denying import as_weak


async def _fetch(queue: Queue, token: str, lease_ms: int = 60_000) -> tuple[str, str]:
    """Id and start of the job fetched."""
    fetched = await queue.scripts.finish_and_fetch([], letters="", token=token, lease_ms=lease_ms, worker="w", room=1)
    (job,) = fetched.jobs
    assert int(job.fields[b"processedOn"]) == fetched.now_ms
    assert job.started == f"{text(job.fields[b'ats'])}:{fetched.now_ms}"
    return job.id, job.started


async def test_a_lease_that_ran_out_is_taken_again_while_nobody_else_has_fetched(queue: Queue) -> None:
    await queue.add("n", 1)
    job_id, started = await _fetch(queue, "mine")
    lock = queue.keys.job(job_id) + ":lock"
    await queue.redis.delete(lock)
    assert await queue.scripts.extend_leases(5000, job_id, "mine", started) == []
    assert await queue.redis.get(lock) == b"mine" and 0 < await queue.redis.pttl(lock) <= 5000


async def test_a_lease_is_not_taken_again_once_the_job_was_put_back(queue: Queue) -> None:
    await queue.add("n", 1)
    job_id, started = await _fetch(queue, "mine", 30)
    for _ in range(2):
        await asyncio.sleep(0.05)
        await queue.scripts.recover_stalled(1, 3, lease_ms=30)
    assert await queue.job_state(job_id) == "waiting"
    assert await queue.scripts.extend_leases(5000, job_id, "mine", started) == [job_id]


async def test_a_lease_is_not_taken_again_once_another_has_fetched_and_its_lease_ran_out_too(queue: Queue) -> None:
    await queue.add("n", 1)
    job_id, started = await _fetch(queue, "mine", 30)
    for _ in range(2):
        await asyncio.sleep(0.05)
        await queue.scripts.recover_stalled(1, 3, lease_ms=30)
    theirs, their_start = await _fetch(queue, "theirs")
    assert theirs == job_id
    await queue.redis.delete(queue.keys.job(job_id) + ":lock")
    assert await queue.scripts.extend_leases(5000, job_id, "mine", started) == [job_id]
    assert await queue.scripts.extend_leases(5000, job_id, "theirs", their_start) == []


async def test_a_lease_is_not_taken_again_by_an_earlier_start_with_the_same_number(queue: Queue, until: Any) -> None:
    await queue.add("n", 1)
    job_id, started = await _fetch(queue, "mine")
    # a hand-back gives the start back: the next one has its number
    handed_back = Result(job_id, "mine", "back", "")
    await queue.scripts.finish_and_fetch([handed_back], letters="", token="x", lease_ms=1, worker="w", room=0)
    now_ms = await queue.scripts.read_clock()
    await until(lambda: _later(queue, now_ms))
    _, later = await _fetch(queue, "mine")
    assert later != started and later.split(":")[0] == started.split(":")[0]
    await queue.redis.delete(queue.keys.job(job_id) + ":lock")
    assert await queue.scripts.extend_leases(5000, job_id, "mine", started) == [job_id]
    assert await queue.scripts.extend_leases(5000, job_id, "mine", later) == []


async def _later(queue: Queue, than_ms: int) -> bool:
    return await queue.scripts.read_clock() > than_ms


async def test_many_leases_that_ran_out_are_taken_again_at_once(queue: Queue) -> None:
    await queue.add_bulk([("n", i) for i in range(30)])
    fetched = await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=30)
    ids = [each.id for each in fetched.jobs]
    await queue.redis.delete(*(queue.keys.job(job_id) + ":lock" for job_id in ids))
    # another client has put this one back
    await queue.redis.lrem(queue.keys.active, 0, ids[7])
    await queue.redis.rpush(queue.keys.wait, ids[7])
    held = [argument for job_id in ids for argument in (job_id, "t", f"1:{fetched.now_ms}")]
    assert await queue.scripts.extend_leases(5000, *held) == [ids[7]]
    assert len(await queue.redis.keys("*:lock")) == 29


@pytest.mark.parametrize("then", ["a result", "a write", "a renewal"])
async def test_a_run_whose_lease_ran_out_goes_on_if_nobody_took_the_job(
    queue: Queue, start_worker: Any, then: str
) -> None:
    async def handle(job: Job) -> int:
        await queue.redis.delete(queue.keys.job(job.id) + ":lock")
        if then == "a write":
            await job.progress(1)
            await job.log("still mine")
        elif then == "a renewal":
            await asyncio.sleep(1.0)
            assert await queue.redis.exists(queue.keys.job(job.id) + ":lock")
        return job.attempts_started

    await start_worker(handle, lease_seconds=0.9, stalled_interval_seconds=60)
    job = await queue.add("n", 1, attempts=1)
    assert await job.result(timeout=5) == 1
    stored = await queue.get_job(job.id)
    assert stored is not None and stored.attempts_made == 1 and stored.stalled_count == 0


async def test_a_lease_that_redis_does_not_give_again_is_asked_for_ever_more_rarely_and_said(
    queue: Queue, redis_url: str, admin: sync_redis.Redis, start_worker: Any, until: Any, monkeypatch: Any, caplog: Any
) -> None:
    asked: list[float] = []
    caplog.set_level(logging.INFO)

    async def handle(job: Job) -> str:
        worker.pause()
        await queue.redis.delete(queue.keys.job(job.id) + ":lock")
        admin.execute_command("ACL", "SETUSER", "weak", "-set")
        return "kept"

    worker = await start_worker(handle, redis=as_weak(redis_url), lease_seconds=120, stalled_interval_seconds=60)
    scripts = worker.queue.scripts
    extend = scripts.extend_leases

    async def told(*arguments: Any) -> Any:
        asked.append(time.monotonic())
        return await extend(*arguments)

    monkeypatch.setattr(scripts, "extend_leases", told)
    job = await queue.add("n", 1, attempts=1)
    await until(lambda: len(asked) == 4)
    # half of what three pauses are at most
    assert asked[3] - asked[0] >= (0.2 + 0.4 + 0.8) / 2
    assert len([line for line in caplog.messages if "does not take our calls" in line and "holding 1" in line]) == 1
    admin.execute_command("ACL", "SETUSER", "weak", "+set")
    assert await job.result(timeout=20) == "kept"
    await until(lambda: "answers again" in caplog.text)


@pytest.mark.parametrize("lease_seconds", [10, 200])
@pytest.mark.parametrize("handler", ["async", "process"])
async def test_a_write_takes_a_lease_again_for_as_long_as_its_workers_leases_are(
    queue: Queue, start_worker: Any, handler: str, lease_seconds: int
) -> None:
    async def handle(job: Job) -> int:
        lock = queue.keys.job(job.id) + ":lock"
        await queue.redis.delete(lock)
        await job.log("still mine")
        return int(await queue.redis.pttl(lock))

    options = {"execution": "process"} if handler == "process" else {}
    await start_worker(process_handlers.work if options else handle, lease_seconds=lease_seconds, **options)
    job = await queue.add("n", {"do": "lose the lease", "url": queue.url}, attempts=1)
    left_ms = await job.result(timeout=30)
    assert 0 < left_ms <= lease_seconds * 1000 and (left_ms > 30_000) == (lease_seconds == 200)


async def test_a_handler_prolongs_a_lease_only_while_it_is_its_own(queue: Queue, start_worker: Any) -> None:
    told: list[str] = []

    async def handle(job: Job) -> str:
        lock = queue.keys.job(job.id) + ":lock"
        await queue.redis.set(lock, "another's")
        try:
            await job.extend(5)
        except LeaseLost as error:
            told.append(str(error))
        await queue.redis.delete(lock)
        await job.extend(5)
        return "ended"

    await start_worker(handle)
    job = await queue.add("n", 1)
    assert await job.result(timeout=5) == "ended"
    assert len(told) == 1


async def test_leases_that_ran_out_in_a_long_active_list_are_taken_again_call_after_call(queue: Queue) -> None:
    await queue.add_bulk([("n", n) for n in range(6)])
    held: list[str] = []
    for _ in range(6):
        job_id, started = await _fetch(queue, "mine")
        held += (job_id, "mine", started)
        await queue.redis.delete(queue.keys.job(job_id) + ":lock")
    ids = held[::3]
    oldest, newest, gone, *middle = ids
    await queue.redis.lrem(queue.keys.active, 0, newest)
    for push in (queue.redis.lpush, queue.redis.rpush):
        for start in range(0, 20_000, 5000):
            await push(queue.keys.active, *(f"other-{n}" for n in range(start, start + 5000)))
    await queue.redis.lrem(queue.keys.active, 0, oldest)
    await queue.redis.rpush(queue.keys.active, oldest)
    await queue.redis.lpush(queue.keys.active, newest)
    await queue.redis.lrem(queue.keys.active, 0, gone)

    async def taken() -> list[str]:
        return [job_id for job_id in ids if await queue.redis.exists(queue.keys.job(job_id) + ":lock")]

    # 40,000 are looked through twice a call: once for the one that is gone, and once for another
    assert await queue.scripts.extend_leases(60_000, *held) == [gone]
    assert await taken() == [oldest, newest, middle[0]]
    assert await queue.scripts.extend_leases(60_000, *held) == [gone]
    assert await taken() == [oldest, newest, *middle[:2]]
    assert await queue.scripts.extend_leases(60_000, *held) == [gone]
    assert await taken() == [oldest, newest, *middle]
    await queue.redis.ltrim(queue.keys.active, 0, 0)
    await queue.redis.delete(queue.keys.active, *(queue.keys.job(job_id) + ":lock" for job_id in ids))
    await queue.redis.rpush(queue.keys.wait, *ids)
