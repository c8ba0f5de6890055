"""A worker that stops beside a Redis that stands still ends soon, says what it leaves, and writes what it still can."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis as sync_redis
from crewline import Job, Queue, Worker
from crewline.worker.calls.call import Call

from tests import redis_server as server_module
from tests.redis.denying import as_weak
from tests.redis_server import RedisServer


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may let stand still."""
    with server_module.start(tmp_path) as server:
        yield server
        os.kill(server.pid, signal.SIGCONT)


class Two:
    """One job that ends when it is let, and one that lasts."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.end = asyncio.Event()

    async def handle(self, job: Job) -> str:
        self.begun.append(job.name)
        if job.name == "short":
            await self.end.wait()
            return "ended"
        await asyncio.sleep(60)
        return "never"


async def _two_running(server: RedisServer, until: Any) -> tuple[Worker, asyncio.Task[None], Two]:
    handler = Two()
    worker = Worker("emails", handler.handle, redis=server.url, concurrency=4)
    running = asyncio.create_task(worker.run())
    await worker.wait_ready()
    async with Queue("emails", redis=server.url) as queue:
        await queue.add_bulk([("short", {}), ("long", {})])
        await until(lambda: len(handler.begun) == 2)
        await until(lambda: worker._watch.armed)
    return worker, running, handler


@pytest.mark.parametrize("when", ["idle", "running"])
async def test_a_stop_beside_a_redis_that_hangs_takes_its_grace_and_a_few_seconds(
    hanging: RedisServer, until: Any, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker, running, handler = await _two_running(hanging, until)
    if when == "idle":
        handler.end.set()
        await until(lambda: worker.running == 1 and not worker._committer.unwritten)
    os.kill(hanging.pid, signal.SIGSTOP)
    if when == "running":
        handler.end.set()
        await until(lambda: worker.running == 1)
    began = asyncio.get_running_loop().time()
    await worker.stop(grace_seconds=0.5)
    await asyncio.wait_for(running, 60)
    took = asyncio.get_running_loop().time() - began
    # 4 s are promised after the grace; the rest is for a busy machine
    assert took < 9
    left = {"idle": "1 of 1 results and", "running": "2 of 2 results and"}[when]
    assert f"{left} hand-backs could not be written" in caplog.text


async def test_what_has_ended_is_written_where_redis_goes_on_while_the_worker_stops(
    hanging: RedisServer, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    worker, running, handler = await _two_running(hanging, until)
    os.kill(hanging.pid, signal.SIGSTOP)
    handler.end.set()
    await until(lambda: worker.running == 1)
    await worker.stop(grace_seconds=0)
    await until(lambda: worker.running == 0)
    os.kill(hanging.pid, signal.SIGCONT)
    await asyncio.wait_for(running, 60)
    assert "could not be written" not in caplog.text
    async with Queue("emails", redis=hanging.url) as queue:
        assert await queue.job_state("1") == "completed"
        assert await queue.job_state("2") == "waiting"


async def test_a_worker_that_stops_does_not_wait_for_its_next_attempt(
    redis_url: str, queue: Queue, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Call, "pause_seconds", lambda self: 60.0)
    handler = Two()
    with sync_redis.Redis.from_url(redis_url) as admin:
        admin.execute_command("ACL", "SETUSER", "weak", "on", ">secret", "~*", "&*", "+@all")
        try:
            worker = Worker("emails", handler.handle, redis=as_weak(redis_url))
            running = asyncio.create_task(worker.run())
            job = await queue.add("short", {})
            await until(lambda: handler.begun)
            admin.execute_command("ACL", "SETUSER", "weak", "-evalsha", "-eval")
            handler.end.set()
            await until(lambda: any(call.carried and call.failures for call in worker._committer._calls))
            admin.execute_command("ACL", "SETUSER", "weak", "+evalsha", "+eval")
            await worker.stop()
            await asyncio.wait_for(running, 30)
            assert await job.state() == "completed"
        finally:
            admin.execute_command("ACL", "DELUSER", "weak")
