"""A handler that holds the event loop: it keeps its job for as long as it may run, and nothing of it is silent."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from crewline import Job, Queue

#: A worker whose loop is held by the job; it ends by being killed.
HOLDS = """
import asyncio, logging, sys, time
import crewline.worker.loopwatch as loopwatch
from crewline import Worker

loopwatch.TELL_SECONDS = 0.5
logging.basicConfig(stream=sys.stderr)

async def held_here(job):
    time.sleep(600 if job.data is None else job.data)

asyncio.run(Worker("emails", held_here, redis=sys.argv[1], lease_seconds=1, timeout_seconds=float(sys.argv[2])).run())
"""


@pytest.fixture
async def holder(redis_url: str) -> Any:
    processes: list[asyncio.subprocess.Process] = []

    async def start(timeout_seconds: float) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDS, redis_url, str(timeout_seconds), stderr=asyncio.subprocess.PIPE
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        await process.wait()


async def said(process: asyncio.subprocess.Process, words: str) -> str:
    """What the process logs, up to a line with these words."""
    assert process.stderr
    text = ""
    while words not in text:
        line = await asyncio.wait_for(process.stderr.readline(), 30)
        assert line, f"it ended without a word: {text}"
        text += line.decode()
    return text


async def test_a_loop_that_is_held_is_told_of_with_the_place_and_so_is_its_return(queue: Queue, holder: Any) -> None:
    job = await queue.add("n", 3)
    process = await holder(60)
    text = await said(process, "goes on")
    assert "has stood still for" in text and "held_here" in text
    await job.result(timeout=10)


async def test_a_job_that_holds_the_loop_beyond_its_time_is_given_to_another_worker(
    queue: Queue, holder: Any, start_worker: Any
) -> None:
    job = await queue.add("n", None)
    process = await holder(1)
    await said(process, "its time is over")

    async def handle(job: Job) -> int:
        return job.attempts_made

    await start_worker(handle, lease_seconds=1)
    assert await job.result(timeout=20) == 0
