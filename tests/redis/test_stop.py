"""A worker told to stop stops, whatever Redis says at that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis as sync_redis
from crewline import Job, Queue, Worker


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
                worker = Worker("emails", handle, redis=redis_url.replace("//", "//weak:secret@"))
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
