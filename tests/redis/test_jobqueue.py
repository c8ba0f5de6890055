"""One object that adds and works: what it has begun ends with it, however it ends."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from crewline import CrewlineError, InvalidOption, Job, JobQueue, Queue
from crewline.upkeep.maintainer import QueueMaintainer
from crewline.worker import duties
from redis.exceptions import ResponseError


async def _handle(job: Job) -> Any:
    return job.data


async def test_a_start_that_failed_leaves_nothing_and_can_be_repeated(queue: Queue, redis_url: str, until: Any) -> None:
    jobs = JobQueue("emails", redis=redis_url)
    before = len(await queue.redis.client_list())
    # what no queue can be followed with: the start fails as with a Redis that is away
    await queue.redis.set(queue.keys.events, "no stream")
    for _ in range(3):
        with pytest.raises(ResponseError):
            await jobs.start(_handle)
        assert jobs.worker is None
    await queue.redis.delete(queue.keys.events)
    await jobs.start(_handle)
    assert await (await jobs.enqueue(7)).result(timeout=10) == 7
    with pytest.raises(CrewlineError, match="was started before"):
        await jobs.start(_handle)
    await jobs.shutdown()
    await until(lambda: _clients(queue, before))


async def test_a_worker_that_is_stopped_while_it_starts_did_not_start(queue: Queue, redis_url: str, until: Any) -> None:
    jobs = JobQueue("emails", redis=redis_url)
    # no fetch is ever answered
    await queue.redis.set(queue.keys.wait, "no list")
    starting = asyncio.create_task(jobs.start(_handle))
    await until(lambda: jobs._tasks)
    assert jobs.worker is not None
    await jobs.worker.stop()
    with pytest.raises(CrewlineError, match="the worker of queue 'emails' was stopped while it started"):
        await asyncio.wait_for(starting, 20)
    await queue.redis.delete(queue.keys.wait)
    await jobs.start(_handle)
    await jobs.shutdown()


async def test_a_start_that_is_cancelled_leaves_nothing(queue: Queue, redis_url: str, until: Any) -> None:
    jobs = JobQueue("emails", redis=redis_url)
    before = len(await queue.redis.client_list())
    await queue.redis.set(queue.keys.wait, "no list")
    starting = asyncio.create_task(jobs.start(_handle))
    await until(lambda: jobs._tasks)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(starting, 20)
    assert jobs.worker is None
    await queue.redis.delete(queue.keys.wait)
    await jobs.shutdown()
    await until(lambda: _clients(queue, before))


async def test_who_waits_is_told_at_once_that_the_worker_has_ended_and_everything_can_be_closed(
    queue: Queue, redis_url: str, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = asyncio.Event()

    async def fail(self: QueueMaintainer) -> None:
        await broken.wait()
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(duties, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(QueueMaintainer, "recover", fail)
    before = len(await queue.redis.client_list())
    jobs = JobQueue("emails", redis=redis_url)
    with pytest.raises(CrewlineError, match="was not started"):
        await jobs.wait()
    await jobs.start(_handle)
    waiting = asyncio.create_task(jobs.wait())
    broken.set()
    with pytest.raises(duties.DutyFailed, match="'stalled' failed 5 times"):
        await asyncio.wait_for(waiting, 20)
    assert "queue emails: the worker has ended: DutyFailed: the worker's duty 'stalled' failed 5 times" in caplog.text
    with pytest.raises(duties.DutyFailed):
        await jobs.shutdown()
    # it was said
    await jobs.shutdown()
    await jobs.wait()
    await until(lambda: _clients(queue, before))


async def test_who_waits_is_let_go_by_a_shutdown(queue: Queue, redis_url: str) -> None:
    jobs = JobQueue("emails", redis=redis_url)
    await jobs.start(_handle)
    waiting = asyncio.create_task(jobs.wait())
    assert await (await jobs.enqueue(7)).result(timeout=10) == 7
    await jobs.shutdown()
    await asyncio.wait_for(waiting, 5)


async def test_a_shutdown_after_a_failed_duty_says_so_and_closes_everything(
    queue: Queue, redis_url: str, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: QueueMaintainer) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(duties, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(QueueMaintainer, "recover", fail)
    jobs = JobQueue("emails", redis=redis_url)
    before = len(await queue.redis.client_list())
    await jobs.start(_handle)
    worker, follower = jobs._tasks
    await asyncio.wait([worker], timeout=20)
    with pytest.raises(duties.DutyFailed):
        await jobs.shutdown()
    assert follower.done()
    await until(lambda: _clients(queue, before))


async def test_a_shutdown_that_is_refused_closes_nothing(redis_url: str) -> None:
    jobs = JobQueue("emails", redis=redis_url)
    await jobs.start(_handle)
    with pytest.raises(InvalidOption, match="grace_seconds"):
        await jobs.shutdown(grace_seconds=-1)
    assert await (await jobs.enqueue(7)).result(timeout=10) == 7
    await jobs.shutdown()


async def _clients(queue: Queue, most: int) -> bool:
    return len(await queue.redis.client_list()) <= most


async def test_a_progress_callback_that_calls_sys_exit_ends_nothing(redis_url: str, until: Any) -> None:
    heard: list[Any] = []

    async def handle(job: Job) -> None:
        await job.progress(1)
        await job.progress(2)

    def hear(job_id: str, value: Any) -> None:
        heard.append(value)
        sys.exit(3)

    queue = JobQueue("emails", redis=redis_url)
    queue.on_progress(hear)
    await queue.start(handle)
    await queue.queue.add("n", 1)
    await until(lambda: heard == [1, 2])
    await queue.shutdown()
