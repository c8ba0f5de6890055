"""A lease that ran out while nobody took the job: Redis was away, or the process stood still. The run goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewline import Job, LeaseLost, Queue
from crewline.wire.text import text


async def _fetch(queue: Queue, token: str, lease_ms: int = 60_000) -> str:
    fetched = await queue.scripts.finish_and_fetch([], letters="", token=token, lease_ms=lease_ms, worker="w", room=1)
    ((job_id, _),) = fetched.jobs
    return text(job_id)


async def test_a_lease_that_ran_out_is_taken_again_while_nobody_else_has_fetched(queue: Queue) -> None:
    await queue.add("n", 1)
    job_id = await _fetch(queue, "mine")
    lock = queue.keys.job(job_id) + ":lock"
    await queue.redis.delete(lock)
    assert await queue.scripts.extend_leases(5000, job_id, "mine", 1) == []
    assert await queue.redis.get(lock) == b"mine" and 0 < await queue.redis.pttl(lock) <= 5000


async def test_a_lease_is_not_taken_again_once_the_job_was_put_back(queue: Queue) -> None:
    await queue.add("n", 1)
    job_id = await _fetch(queue, "mine", 30)
    for _ in range(2):
        await asyncio.sleep(0.05)
        await queue.scripts.recover_stalled(1, 3)
    assert await queue.job_state(job_id) == "waiting"
    assert await queue.scripts.extend_leases(5000, job_id, "mine", 1) == [job_id]


async def test_a_lease_is_not_taken_again_once_another_has_fetched_and_its_lease_ran_out_too(queue: Queue) -> None:
    await queue.add("n", 1)
    job_id = await _fetch(queue, "mine", 30)
    for _ in range(2):
        await asyncio.sleep(0.05)
        await queue.scripts.recover_stalled(1, 3)
    assert await _fetch(queue, "theirs") == job_id
    await queue.redis.delete(queue.keys.job(job_id) + ":lock")
    assert await queue.scripts.extend_leases(5000, job_id, "mine", 1) == [job_id]
    assert await queue.scripts.extend_leases(5000, job_id, "theirs", 2) == []


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
