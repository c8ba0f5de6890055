"""Suspects: each in a child of its own, beside a worker's other slots."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from crewline import DeadLetters, Job, JobFailed, Queue
from crewline.wire.text import text

from tests.redis import process_handlers
from tests.redis.suspects import a_suspect


async def test_a_suspect_runs_in_a_child_while_other_slots_go_on(queue: Queue, start_worker: Any, until: Any) -> None:
    worker = await start_worker(process_handlers.either, concurrency=2)
    long = await queue.add("long", {})
    await until(lambda: worker.running == 1)
    suspect = await a_suspect(queue)
    assert await suspect.result(timeout=20) != os.getpid()
    assert await long.state() == "active"
    assert await queue.redis.hget(queue.keys.job(suspect.id), "suspect") is None
    await long.cancel()


async def test_a_job_that_takes_its_own_process_down_fails_for_good_and_costs_no_other_anything(
    queue: Queue, start_worker: Any
) -> None:
    suspect = await a_suspect(queue, data={"die": True}, attempts=5)
    other = await a_suspect(queue)
    await start_worker(process_handlers.either, max_crashes=2)
    with pytest.raises(JobFailed, match=r"took its process down 2 times: .* exited with code 7"):
        await suspect.result(timeout=30)
    assert await other.result(timeout=20) != os.getpid()
    (letter,) = await DeadLetters(queue).list()
    assert (letter.job_id, letter.attempts) == (suspect.id, 1)


async def test_no_worker_takes_more_suspects_than_it_can_deal_with(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.runs.isolation.MOST_CHILDREN", 1)
    await queue.pause()
    jobs = await queue.add_bulk(("suspect", {}) for _ in range(60))
    for job in jobs:
        await queue.redis.hset(queue.keys.job(job.id), "suspect", "1")
    worker = await start_worker(process_handlers.either, concurrency=4)
    await queue.resume()
    await until(lambda: worker.running == 1)
    await asyncio.sleep(0.3)
    # one runs, one waits, and what calls under way brought besides was handed back
    assert len(worker._slots.mine()) <= 2 + 4


async def test_a_fetch_looks_past_suspects_beyond_its_number_and_leaves_them_where_they_were(queue: Queue) -> None:
    jobs = await queue.add_bulk(("n", {}) for _ in range(5))
    urgent = await queue.add_bulk(("n", {}, {"priority": 1}) for _ in range(2))
    for job in (*jobs[:4], urgent[0]):
        await queue.redis.hset(queue.keys.job(job.id), "suspect", "1")
    scores = await queue.redis.zrange(queue.keys.prioritized, 0, -1, withscores=True)
    await queue.redis.delete(queue.keys.marker)
    fetched = await queue.scripts.finish_and_fetch(
        [], letters="", token="t", lease_ms=60_000, worker="w", room=7, suspects=1
    )
    assert [each.id for each in fetched.jobs] == [jobs[0].id, jobs[4].id, urgent[1].id]
    waiting = await queue.redis.lrange(queue.keys.wait, 0, -1)
    assert [text(each) for each in reversed(waiting)] == [job.id for job in jobs[1:4]]
    assert await queue.redis.zrange(queue.keys.prioritized, 0, -1, withscores=True) == scores[:1]
    assert await queue.redis.llen(queue.keys.active) == 3
    assert not await queue.redis.exists(queue.keys.marker)


async def test_a_beat_tells_what_runs_and_not_what_waits(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.worker.runs.isolation.MOST_CHILDREN", 1)
    gate = asyncio.Event()

    async def handle(job: Job) -> None:
        await gate.wait()

    worker = await start_worker(handle, concurrency=1)
    running = await queue.add("n", {})
    await until(lambda: worker.running == 1)
    # one more suspect than this worker has room for
    waiting = await a_suspect(queue)
    worker.concurrency = 2
    await until(lambda: len(worker._slots.mine()) == 2)
    worker.concurrency = 1

    async def told() -> bool:
        (entry,) = await queue.workers()
        return bool(entry["slots"] == 1 and entry["running"])

    await until(told)
    (entry,) = await queue.workers()
    assert (entry["busy"], entry["running"]) == (1, [running.id])
    await waiting.cancel()
    gate.set()
