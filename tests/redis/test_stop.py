"""A worker told to stop stops, whatever Redis says at that moment."""

from __future__ import annotations

import asyncio

import pytest
import redis as sync_redis
from crewline import CrewlineError, Job, Worker


async def _nothing(job: Job) -> None:
    pass


async def test_a_worker_whose_calls_redis_refuses_still_stops(redis_url: str) -> None:
    with sync_redis.Redis.from_url(redis_url) as admin:
        admin.execute_command("ACL", "SETUSER", "weak", "on", ">secret", "~*", "+@all", "-eval", "-evalsha")
        try:
            for turn in range(2):

                async def handle(job: Job) -> None:
                    raise AssertionError("no job can have been fetched")

                worker = Worker("emails", handle, redis=redis_url.replace("//", "//weak:secret@"))
                running = asyncio.create_task(worker.run())
                # stop in different moments of the wait between two calls, some of them while a reply is on its way
                await asyncio.sleep(0.4 + 0.3 * turn)
                await worker.stop()
                # there is nothing to write
                await asyncio.wait_for(running, 3)
        finally:
            admin.execute_command("ACL", "DELUSER", "weak")


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
