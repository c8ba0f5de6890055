"""A run that was told to end has ended as it was told, also where its handler takes no notice and returns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewline import Job, JobFailed, Middleware, Queue


class Deaf:
    """A handler that returns when it is told to end."""

    def __init__(self) -> None:
        self.begun, self.returned = asyncio.Event(), asyncio.Event()

    async def handle(self, job: Job) -> str:
        self.begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.returned.set()
        return "all the same"


class Story(Middleware):
    """What the hooks are told of each run."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def before(self, job: Job) -> None:
        self.told.append("before")

    async def after(self, job: Job, result: Any) -> None:
        self.told.append("after")

    async def failed(self, job: Job, error: BaseException) -> None:
        # a hook that waits is told to the end, whatever ended the run
        await asyncio.sleep(0)
        self.told.append(type(error).__name__)


async def test_a_cancelled_job_whose_handler_returns_fails_with_the_cancels_reason(
    queue: Queue, start_worker: Any
) -> None:
    handler, story = Deaf(), Story()
    ended: list[str] = []
    worker = await start_worker(handler.handle, middleware=[story])
    worker.on("completed", lambda job: ended.append("completed"))
    worker.on("failed", lambda job, reason: ended.append(reason))
    job = await queue.add("n", {})
    await asyncio.wait_for(handler.begun.wait(), 5)
    assert await job.cancel("no more")
    with pytest.raises(JobFailed, match="no more"):
        await job.result(timeout=5)
    assert ended == ["no more"]
    assert story.told == ["before", "CancelledError"]


async def test_a_run_whose_id_another_job_has_by_now_is_lost(queue: Queue, start_worker: Any, until: Any) -> None:
    alive: list[str] = []
    lost: list[str] = []

    async def handle(job: Job) -> None:
        alive.append(job.data)
        try:
            await asyncio.sleep(600)
        finally:
            alive.remove(job.data)

    worker = await start_worker(handle, concurrency=3)
    worker.on("lost", lambda job: lost.append(job.data))
    await queue.add("n", "old")
    await until(lambda: alive == ["old"])
    await queue.pause()
    await queue.obliterate(force=True)
    # ids begin anew
    assert (await queue.add("n", "new")).id == "1"
    await until(lambda: alive == ["new"] and worker.running == 1)
    assert lost == ["old"]


async def test_a_job_past_its_time_whose_handler_returns_has_timed_out(queue: Queue, start_worker: Any) -> None:
    handler, story = Deaf(), Story()
    await start_worker(handler.handle, timeout_seconds=0.2, middleware=[story])
    job = await queue.add("n", {}, attempts=1)
    with pytest.raises(JobFailed, match=r"timed out after 0\.2 s"):
        await job.result(timeout=5)
    assert story.told == ["before", "TimeoutError"]


async def test_a_job_that_is_handed_back_whose_handler_returns_is_not_completed(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    handler, story = Deaf(), Story()
    worker = await start_worker(handler.handle, middleware=[story])
    job = await queue.add("n", {})
    await asyncio.wait_for(handler.begun.wait(), 5)
    await worker.stop(grace_seconds=0)
    await asyncio.wait_for(handler.returned.wait(), 5)
    await until(lambda: worker.running == 0)
    await until(lambda: _is(job, "waiting"))
    assert story.told == ["before", "CancelledError"]


async def _is(job: Job, state: str) -> bool:
    return await job.state() == state


async def test_a_run_whose_lease_is_lost_and_whose_handler_returns_tells_no_end(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    handler, story = Deaf(), Story()
    ended: list[str] = []
    worker = await start_worker(handler.handle, lease_seconds=0.6, middleware=[story])
    for event in ("completed", "lost"):
        worker.on(event, lambda job, event=event: ended.append(event))
    job = await queue.add("n", {})
    await asyncio.wait_for(handler.begun.wait(), 5)
    await queue.redis.set(queue.keys.job(job.id) + ":lock", "another's", px=60_000)
    await until(lambda: worker.running == 0)
    assert ended == ["lost"]
    assert story.told == ["before", "CancelledError"]


async def test_hooks_and_listeners_hear_of_a_run_that_finds_its_lease_lost(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    async def handle(job: Job) -> None:
        await queue.redis.set(queue.keys.job(job.id) + ":lock", "another's", px=60_000)
        await job.progress(1)

    stories, lost = [Story(), Story()], []
    worker = await start_worker(handle, middleware=stories)
    worker.on("lost", lambda job: lost.append(job.id))
    job = await queue.add("n", {})
    await until(lambda: stories[0].told and worker.running == 0)
    assert [story.told for story in stories] == [["before", "LeaseLost"]] * 2
    assert lost == [job.id]


async def test_a_job_that_is_cancelled_while_hooks_are_told_of_its_end_fails_all_the_same(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    telling = asyncio.Event()

    class Deaf(Middleware):
        async def after(self, job: Job, result: Any) -> None:
            telling.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass

    async def handle(job: Job) -> str:
        return "ran"

    await start_worker(handle, middleware=[Deaf()])
    job = await queue.add("n", {})
    await asyncio.wait_for(telling.wait(), 5)
    assert await job.cancel("no more")
    with pytest.raises(JobFailed, match="no more"):
        await job.result(timeout=5)
