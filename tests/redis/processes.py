"""What tests of child processes share: handlers, a worker's children, and what processes there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from crewline import Job, Queue
from crewline.worker.handlers.targets import Targets
from crewline.worker.processes.children import Children
from crewline.worker.processes.messages import Where

from tests.redis import process_handlers

WORK = Targets(process_handlers.work, "process").all()[0]
THREAD = Targets(process_handlers.work, None).all()[0]
WALK = Targets(process_handlers.walk, None).all()[0]

#: A job's data that asks which job it is and where it runs.
WHO = {"do": "who"}


@pytest_asyncio.fixture
async def children(redis_url: str) -> AsyncIterator[Children]:
    opened = Children(Where(redis_url, "bull", "emails", 5.0), size=2)
    yield opened
    opened.close()
    assert await opened.wait_closed()


async def stored(queue: Queue, data: Any) -> Job:
    job = await queue.get_job((await queue.add("n", data)).id)
    assert job is not None
    return job


async def told(queue: Queue, job: Job, until: Any, key: str = "pid") -> int:
    """A process id that the job's handler tells by its progress."""

    async def look() -> int:
        now = await queue.get_job(job.id)
        assert now is not None
        return int(now.progress_value[key]) if now.progress_value else 0

    return int(await until(look, 30))


def runs(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
