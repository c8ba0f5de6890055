"""Plain functions that hand on what an `async def` one returns (decorators, lambdas) are handlers as that one is."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable
from typing import Any

import pytest
from crewline import Job, JobFailed, Queue
from crewline.worker.handlers.targets import Targets
from crewline.worker.processes.children import Children

from tests.redis import process_handlers
from tests.redis.processes import children as children
from tests.redis.processes import stored


def plain(handler: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(handler)
    def wrapper(job: Any) -> Any:
        return handler(job)

    return wrapper


class Slow:
    """A handler that goes on until it is told to end."""

    def __init__(self) -> None:
        self.begun, self.ended = asyncio.Event(), asyncio.Event()

    async def handle(self, job: Job) -> None:
        self.begun.set()
        try:
            await asyncio.sleep(600)
        finally:
            self.ended.set()


@pytest.mark.parametrize("wrap", [plain, lambda handler: lambda job: handler(job)], ids=["decorator", "lambda"])
async def test_an_async_handler_below_a_plain_function_awaits_its_jobs_methods(
    queue: Queue, start_worker: Any, wrap: Any
) -> None:
    async def handle(job: Job) -> str:
        await job.progress({"half": True})
        await job.log("half")
        return await job.state()

    await start_worker(wrap(handle))
    job = await queue.add("n", {}, attempts=1)
    assert await job.result(timeout=20) == "active"
    after = await queue.get_job(job.id)
    assert after is not None and after.progress_value == {"half": True} and await after.logs() == ["half"]


@pytest.mark.parametrize("alone", [False, True])
async def test_it_awaits_them_in_a_process_too_and_may_stop_its_loop(
    queue: Queue, children: Children, alone: bool
) -> None:
    target = Targets(process_handlers.hands_on, "process").all()[0]
    for _ in range(2):
        job = await stored(queue, {})
        assert (await children.run(job, target, timeout=60, alone=alone)).value == "waiting"
        assert await job.logs() == ["told"]


async def test_its_time_ends_it(queue: Queue, start_worker: Any) -> None:
    slow = Slow()
    await start_worker(plain(slow.handle), timeout_seconds=0.2)
    job = await queue.add("n", {}, attempts=1)
    with pytest.raises(JobFailed, match=r"timed out after 0\.2 s"):
        await job.result(timeout=20)
    await asyncio.wait_for(slow.ended.wait(), 5)


async def test_a_cancel_ends_it(queue: Queue, start_worker: Any, until: Any) -> None:
    slow = Slow()
    worker = await start_worker(plain(slow.handle))
    job = await queue.add("n", {})
    await asyncio.wait_for(slow.begun.wait(), 20)
    await job.cancel("no more")
    with pytest.raises(JobFailed, match="no more"):
        await job.result(timeout=20)
    await asyncio.wait_for(slow.ended.wait(), 5)
    await until(lambda: worker.running == 0)


async def test_a_worker_that_stops_ends_it(queue: Queue, start_worker: Any) -> None:
    slow = Slow()
    worker = await start_worker(plain(slow.handle))
    await queue.add("n", {})
    await asyncio.wait_for(slow.begun.wait(), 20)
    await worker.stop(grace_seconds=0)
    await asyncio.wait_for(slow.ended.wait(), 5)


async def test_what_is_handed_on_by_a_run_that_was_cancelled_meanwhile_never_begins(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    slow, called, gate = Slow(), asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def handle(job: Any) -> Any:
        loop.call_soon_threadsafe(called.set)
        gate.wait(20)
        return slow.handle(job)

    worker = await start_worker(handle)
    job = await queue.add("n", {})
    await asyncio.wait_for(called.wait(), 20)
    await job.cancel("no more")
    with pytest.raises(JobFailed, match="no more"):
        await job.result(timeout=20)
    gate.set()
    await until(lambda: worker.running == 0)
    assert not slow.begun.is_set()
