"""Each end of a job is told to the worker's listeners once, and no run keeps its slot: whatever ended it, and when."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from crewline import InvalidOption, Job, JobFailed, JobQueue, Middleware, Queue, Worker
from crewline.worker.runs.run import Lease, Run, Status


class Told(Middleware):
    """What a worker tells its program, in order."""

    def __init__(self, worker: Worker) -> None:
        self.ends: list[tuple[str, str]] = []
        self.hooks: list[str] = []
        worker.on("completed", lambda job: self.ends.append(("completed", "")))
        worker.on("retrying", lambda job, reason: self.ends.append(("retrying", reason)))
        worker.on("failed", lambda job, reason: self.ends.append(("failed", reason)))
        worker._executor._middleware = [self]

    async def after(self, job: Job, result: Any) -> None:
        self.hooks.append("after")

    async def failed(self, job: Job, error: BaseException) -> None:
        self.hooks.append("failed")


async def test_a_thread_that_is_cancelled_has_failed_once_and_has_not_completed(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    gate, begun = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def handle(job: Job) -> None:
        loop.call_soon_threadsafe(begun.set)
        gate.wait(20)

    worker = await start_worker(handle)
    told = Told(worker)
    job = await queue.add("n", {})
    await asyncio.wait_for(begun.wait(), 5)
    await job.cancel("no more")
    with pytest.raises(JobFailed, match="no more"):
        await job.result(timeout=10)
    gate.set()
    await until(lambda: told.hooks)
    assert told.ends == [("failed", "no more")]
    assert told.hooks == ["failed"]


async def test_a_job_that_was_failed_before_it_was_fetched_is_told_as_failed(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    async def handle(job: Job) -> None: ...

    worker = await start_worker(handle)
    told = Told(worker)
    await queue.pause()
    job = await queue.add("n", {})
    await queue.redis.hset(queue.keys.job(job.id), "defa", "a child failed")
    await queue.resume()
    with pytest.raises(JobFailed, match="a child failed"):
        await job.result(timeout=5)
    assert told.ends == [("failed", "a child failed")]


async def test_a_job_whose_data_cannot_be_read_is_told_as_failed(queue: Queue, start_worker: Any, until: Any) -> None:
    async def handle(job: Job) -> None: ...

    worker = await start_worker(handle)
    told = Told(worker)
    await queue.pause()
    job = await queue.add("n", {})
    await queue.redis.hset(queue.keys.job(job.id), "data", "{torn")
    await queue.resume()
    await until(lambda: told.ends)
    ((end, reason),) = told.ends
    assert end == "failed" and reason.startswith("data can't be read")


async def test_a_job_that_cannot_complete_for_its_children_is_told_as_failed_in_the_end(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    async def handle(job: Job) -> None:
        await queue.redis.sadd(queue.keys.job(job.id) + ":dependencies", queue.keys.job("elsewhere"))

    worker = await start_worker(handle)
    told = Told(worker)
    job = await queue.add("n", {})
    with pytest.raises(JobFailed, match="children of the job have not ended"):
        await job.result(timeout=5)
    assert told.ends[-1] == ("failed", "children of the job have not ended")
    await queue.redis.delete(queue.keys.job(job.id) + ":dependencies")


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.RETURNED, Status.LOST])
async def test_a_run_that_ends_before_its_tasks_first_step_gives_its_slot_back(redis_url: str, status: Status) -> None:
    ran: list[Job] = []

    async def handle(job: Job) -> None:
        ran.append(job)

    worker = Worker("emails", handle, redis=redis_url, concurrency=1)
    slots = worker._slots
    run = Run(Job(worker.queue, "1", "n", None, {}), Lease("t", "1:1"))
    slots.take(run)
    worker._executor.start(run)
    assert run.task
    assert run.end_early(status, "no more")
    await asyncio.wait({run.task})
    assert (slots.runs, slots.free(), ran) == (set(), 1, [])
    outcomes = [result.outcome for _, result in slots.ended]
    assert outcomes == {Status.CANCELLED: ["failed"], Status.LOST: []}.get(status, ["back"])
    assert bool(slots.leases) is (status is not Status.LOST)
    await worker.queue.close()


async def test_a_listener_that_would_have_to_be_awaited_is_refused(redis_url: str) -> None:
    async def listen(job: Job) -> None: ...

    worker = Worker("emails", listen, redis=redis_url)
    with pytest.raises(InvalidOption, match="is called and not awaited"):
        worker.on("completed", listen)
    with pytest.raises(InvalidOption, match="is called and not awaited"):
        JobQueue("emails", redis=redis_url).on_progress(listen)
