"""A worker told to stop stops, whatever Redis says at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis as sync_redis
from crewline import CrewlineError, Job, Queue, Worker

from tests.redis.denying import as_weak


async def _nothing(job: Job) -> None:
    pass


async def test_a_worker_whose_calls_redis_refuses_still_stops(
    redis_url: str, queue: Queue, until: Callable[..., Awaitable[Any]], caplog: pytest.LogCaptureFixture
) -> None:
    fetched: list[str] = []

    async def handle(job: Job) -> None:
        fetched.append(job.id)

    job = await queue.add("n", 1)
    with sync_redis.Redis.from_url(redis_url) as admin:
        admin.execute_command("ACL", "SETUSER", "weak", "on", ">secret", "~*", "+@all", "-eval", "-evalsha")
        try:
            for turn in range(2):
                worker = Worker("emails", handle, redis=as_weak(redis_url))
                running = asyncio.create_task(worker.run())
                caplog.clear()
                await until(lambda: "does not take our calls" in caplog.text)
                # stop in different moments of the wait between two calls, some of them while a reply is on its way
                await asyncio.sleep(0.3 * turn)
                await worker.stop()
                # there is nothing to write
                await asyncio.wait_for(running, 3)
        finally:
            admin.execute_command("ACL", "DELUSER", "weak")
    assert fetched == [] and await job.state() == "waiting"


async def test_who_waits_for_a_worker_that_ends_without_redis_is_told() -> None:
    worker = Worker("emails", _nothing, redis="redis://127.0.0.1:1/0")
    running, ready = asyncio.create_task(worker.run()), asyncio.create_task(worker.wait_ready())
    await asyncio.sleep(0)
    await worker.stop(grace_seconds=0)
    await running
    with pytest.raises(CrewlineError, match="ended before Redis had answered"):
        await asyncio.wait_for(ready, 5)
    with pytest.raises(CrewlineError, match="has run already: make another one"):
        await worker.run()


async def test_a_shorter_grace_holds_for_a_stop_that_is_under_way(redis_url: str) -> None:
    begun = asyncio.Event()

    async def handle(job: Job) -> None:
        begun.set()
        await asyncio.sleep(600)

    worker = Worker("emails", handle, redis=redis_url)
    running = asyncio.create_task(worker.run())
    async with Queue("emails", redis=redis_url) as queue:
        job = await queue.add("n", {})
        await asyncio.wait_for(begun.wait(), 10)
        await worker.stop(grace_seconds=300)
        await asyncio.sleep(0.1)
        assert not running.done()
        await worker.stop(grace_seconds=0)
        await asyncio.wait_for(running, 30)
        assert await job.state() == "waiting"


async def test_a_worker_may_be_told_to_stop_at_any_moment_of_its_stop(redis_url: str) -> None:
    begun = asyncio.Event()

    async def handle(job: Job) -> None:
        begun.set()
        await asyncio.sleep(600)

    worker = Worker("emails", handle, redis=redis_url)
    running = asyncio.create_task(worker.run())
    async with Queue("emails", redis=redis_url) as queue:
        await queue.add("n", {})
        await asyncio.wait_for(begun.wait(), 10)
        async with asyncio.timeout(30):
            while not running.done():
                await worker.stop(grace_seconds=0)
                await asyncio.sleep(0)
        await running


@pytest.mark.parametrize("ends", ["an error", "cancelled"])
def test_a_program_that_ends_beside_its_worker_hands_its_jobs_back(redis_url: str, ends: str) -> None:
    """asyncio.run ends all tasks then, the worker's own and those of its runs with it."""

    all_run = asyncio.Barrier(6)

    async def handle(job: Job) -> None:
        await all_run.wait()
        await asyncio.sleep(60)

    async def program() -> None:
        async with Queue("emails", redis=redis_url) as queue:
            await queue.add_bulk(("n", number, {"attempts": 2}) for number in range(5))
        worker = Worker("emails", handle, redis=redis_url)
        running = asyncio.create_task(worker.run())
        await all_run.wait()
        if ends == "cancelled":
            asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)  # type: ignore[union-attr]
            await running
        raise ValueError("the program's own error")

    async def left() -> list[tuple[str, int, int]]:
        async with Queue("emails", redis=redis_url) as queue:
            jobs = [await queue.get_job(str(number)) for number in range(1, 6)]
            return [(await job.state(), job.attempts_made, job.attempts_started) for job in jobs if job]

    with pytest.raises(ValueError if ends == "an error" else asyncio.CancelledError):
        asyncio.run(program())
    assert asyncio.run(left()) == [("waiting", 0, 0)] * 5
