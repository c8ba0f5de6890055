"""What a job's data asks its handler to do. `driver.mjs` plays the same, so that any job may meet any worker.

log: text         a line in the job's log
progress: JSON    its progress
takesMs: number   how long it runs
reject: text      fail for good, with that reason
fails: number     how many attempts fail before one succeeds
returns: JSON     the result
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from crewline import Job, Reject, Worker


@dataclass
class Handled:
    """One run of a handler; `at` is epoch seconds."""

    job: str
    name: str
    attempt: int
    at: float


@dataclass
class OurWorker:
    """A worker of ours that plays, and what it was given."""

    worker: Worker
    handled: list[Handled] = field(default_factory=list)

    @property
    def ids(self) -> list[str]:
        return [run.job for run in self.handled]

    @property
    def names(self) -> list[str]:
        return [run.name for run in self.handled]


async def play(job: Job) -> Any:
    data = job.data if isinstance(job.data, dict) else {}
    if "log" in data:
        await job.log(data["log"])
    if "progress" in data:
        await job.progress(data["progress"])
    if data.get("takesMs"):
        await asyncio.sleep(data["takesMs"] / 1000)
    if "reject" in data:
        raise Reject(data["reject"])
    if job.attempts_made < data.get("fails", 0):
        raise RuntimeError(f"attempt {job.attempts_made + 1} failed")
    if data.get("returnsChildren"):
        return sorted((await job.children_values()).values())
    return data.get("returns")


@asynccontextmanager
async def our_worker(queue: str, url: str, **options: Any) -> AsyncIterator[OurWorker]:
    """Runs a worker of ours for the time of the block; it is ready when the block begins."""
    handled: list[Handled] = []

    async def handle(job: Job) -> Any:
        handled.append(Handled(job.id, job.name, job.attempts_made + 1, time.time()))
        return await play(job)

    worker = Worker(queue, handle, redis=url, **{"grace_seconds": 5.0, **options})
    running = asyncio.create_task(worker.run())
    try:
        ready = asyncio.create_task(worker.wait_ready())
        await asyncio.wait({ready, running}, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert ready.done(), "our worker was not ready within 10 s"
        yield OurWorker(worker, handled)
    finally:
        await worker.stop()
        await running
