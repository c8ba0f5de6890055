"""Suspects: beside a worker's other slots in children of their own, or alone in it where no child can run them."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from crewline import DeadLetters, Job, JobFailed, Queue

from tests.redis import process_handlers


async def _suspect(queue: Queue, times: int = 1, data: Any = None, **options: Any) -> Job:
    """A job that was with so many workers that died."""
    await queue.pause()
    job = await queue.add("suspect", data or {}, **options)
    await queue.redis.hset(queue.keys.job(job.id), "suspect", str(times))
    await queue.resume()
    return job


async def test_a_suspect_runs_in_a_child_while_other_slots_go_on(queue: Queue, start_worker: Any, until: Any) -> None:
    worker = await start_worker(process_handlers.either, concurrency=2)
    long = await queue.add("long", {})
    await until(lambda: worker.running == 1)
    suspect = await _suspect(queue)
    assert await suspect.result(timeout=20) != os.getpid()
    assert await long.state() == "active"
    assert await queue.redis.hget(queue.keys.job(suspect.id), "suspect") is None
    await long.cancel()


async def test_a_job_that_takes_its_own_process_down_fails_for_good_and_costs_no_other_anything(
    queue: Queue, start_worker: Any
) -> None:
    suspect = await _suspect(queue, data={"die": True}, attempts=5)
    other = await _suspect(queue)
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
    waiting = await _suspect(queue)
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


async def test_a_suspect_whose_module_no_child_can_import_runs_alone_and_loses_no_attempt(
    queue: Queue, start_worker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # a module that can be imported once: a port that it binds, a lock that it takes
    (tmp_path / "once_only.py").write_text(
        f"import os\nopen({str(tmp_path / 'taken')!r}, 'x')\n\n\nasync def handle(job):\n    return os.getpid()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import once_only

    try:
        suspect = await _suspect(queue, attempts=1)
        await start_worker(once_only.handle)
        assert await suspect.result(timeout=30) == os.getpid()
    finally:
        del sys.modules["once_only"]


async def test_a_loner_that_is_cancelled_holds_up_nobody(queue: Queue, start_worker: Any, until: Any) -> None:
    gate = asyncio.Event()

    async def handle(job: Job) -> str:
        if job.name == "long":
            await gate.wait()
        return "ran"

    worker = await start_worker(handle, concurrency=2)
    await queue.add("long", {})
    await until(lambda: worker.running == 1)
    loner = await _suspect(queue, times=3)
    await until(lambda: worker._slots.is_shut("exclusive"))
    await loner.cancel("no more")
    with pytest.raises(JobFailed, match="no more"):
        await loner.result(timeout=5)
    assert await (await queue.add("n", {})).result(timeout=5) == "ran"
    gate.set()
