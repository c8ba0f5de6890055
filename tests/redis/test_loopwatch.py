"""A handler that holds the event loop: it keeps its job for as long as it may run, and nothing of it is silent."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
from crewline import Job, Queue
from crewline.worker.loopwatch import LoopWatch

#: A worker whose loop is held by the job; it ends by being killed.
HOLDS = """
import asyncio, logging, sys, time
import crewline.worker.loopwatch as loopwatch
from crewline import Worker

loopwatch.LOOK_SECONDS, loopwatch.TELL_SECONDS = 0.1, 0.5
logging.basicConfig(stream=sys.stderr)

async def held_here(job):
    time.sleep(600 if job.data is None else job.data)

lease_seconds, timeout_seconds = map(float, sys.argv[2:])
worker = Worker(
    "emails", held_here, redis=sys.argv[1], lease_seconds=lease_seconds, timeout_seconds=timeout_seconds
)
asyncio.run(worker.run())
"""


@pytest.fixture
async def holder(redis_url: str) -> Any:
    processes: list[asyncio.subprocess.Process] = []

    async def start(timeout_seconds: float, lease_seconds: float = 1) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", HOLDS, redis_url, str(lease_seconds), str(timeout_seconds),
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
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


@pytest.mark.parametrize("lease_seconds", [1, 600])
async def test_a_loop_that_is_held_is_told_of_with_the_place_and_so_is_its_return_however_long_the_leases_are(
    queue: Queue, holder: Any, lease_seconds: float
) -> None:
    job = await queue.add("n", 3)
    process = await holder(60, lease_seconds)
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


class Answered(LoopWatch):
    """Watches a loop that answers as soon as it was seen that it has not yet."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name.replace("_asked", "seen").replace("_told", "said"), value)

    def __getattr__(self, name: str) -> Any:
        at = {"_asked": "seen", "_told": "said"}[name]
        value = self.__dict__[at]
        self.__dict__[at] = None
        return value


async def test_a_loop_that_answers_in_the_middle_of_a_look_is_no_error() -> None:
    watch = Answered("emails", None, 30)
    watch.begin()
    watch._asked = watch._told = 0.0
    assert not watch.gives_up()
