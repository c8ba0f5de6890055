"""A plain handler that calls an ``async def`` one and hands on what it gets: a lambda, a decorator of the user's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewline import JobFailed, Queue
from crewline.worker.handlers.targets import Targets
from crewline.worker.processes.children import Children

from tests.redis import process_handlers
from tests.redis.processes import children, stored

__all__ = ["children"]

HANDED = Targets(process_handlers.handed, "process").all()[0]


class Handed:
    """The ``async def`` part, and what has become of it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def last(self, job: Any) -> None:
        self.begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def handle(self, job: Any) -> Any:
        return self.last(job)


async def test_it_may_await_the_jobs_calls(queue: Queue, start_worker: Any) -> None:
    async def work(job: Any) -> int:
        await job.progress(50)
        return int(await job.log("a line"))

    job = await queue.add("n", {})
    await start_worker(lambda job: work(job))
    assert await job.result(timeout=5) == 1
    now = await queue.get_job(job.id)
    assert now and now.progress_value == 50


async def test_a_call_that_it_forgets_to_await_does_not_hold_its_worker_up(queue: Queue, start_worker: Any) -> None:
    async def work(job: Any) -> int:
        job.progress(50)
        await asyncio.sleep(0.05)
        return 1

    job = await queue.add("n", {})
    await start_worker(lambda job: work(job))
    assert await job.result(timeout=5) == 1


async def test_it_ends_after_its_time(queue: Queue, start_worker: Any) -> None:
    handed = Handed()
    job = await queue.add("n", {}, attempts=1)
    worker = await start_worker(handed.handle, timeout_seconds=0.2)
    with pytest.raises(JobFailed, match=r"timed out after 0.2 s"):
        await job.result(timeout=5)
    assert handed.cancelled.is_set() and worker.running == 0


async def test_it_is_cancelled_with_its_job(queue: Queue, start_worker: Any, until: Any) -> None:
    handed = Handed()
    job = await queue.add("n", {}, attempts=1)
    worker = await start_worker(handed.handle)
    await asyncio.wait_for(handed.begun.wait(), 5)
    assert await job.cancel("no more")
    await asyncio.wait_for(handed.cancelled.wait(), 5)
    await until(lambda: worker.running == 0)


async def test_it_cleans_up_when_the_worker_stops(queue: Queue, start_worker: Any, until: Any) -> None:
    handed = Handed()
    job = await queue.add("n", {})
    worker = await start_worker(handed.handle)
    await asyncio.wait_for(handed.begun.wait(), 5)
    await worker.stop(grace_seconds=0)
    await asyncio.wait_for(handed.cancelled.wait(), 5)

    async def waits() -> bool:
        return await job.state() == "waiting"

    await until(waits)


async def test_it_may_await_the_jobs_calls_in_a_child_as_well(queue: Queue, children: Children) -> None:
    job = await stored(queue, {})
    ran = await children.run(job, HANDED, timeout=60)
    assert ran.value == 1
