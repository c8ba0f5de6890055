"""Runs plain functions in threads.

Nothing can stop a thread: a run that exceeds its time keeps its slot until it ends, and the log says so.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import time
from collections.abc import Callable
from typing import Any

from crewline.queue.job import Job
from crewline.worker.handlers.syncjob import SyncJob
from crewline.worker.threads.pool import Pool

log = logging.getLogger("crewline.worker")


class Threads:
    """The threads of one worker, one a slot."""

    def __init__(self, size: int) -> None:
        self._pool = Pool(size, "crewline-handler")

    def resize(self, size: int) -> None:
        self._pool.resize(size)

    def close(self) -> None:
        self._pool.close()

    async def run(self, job: Job, call: Callable[..., Any], arguments: tuple[Any, ...], timeout: float | None) -> Any:
        """Calls ``call`` with a `SyncJob` and the other arguments; TimeoutError once it ended too late."""
        loop = asyncio.get_running_loop()
        started = time.monotonic()
        # the thread sees what hooks have set for this run, such as its span
        context = contextvars.copy_context()
        future = self._pool.call(functools.partial(context.run, call, SyncJob(job, loop), *arguments[1:]))
        if timeout is None:
            return await future
        done, _ = await asyncio.wait({future}, timeout=timeout)
        if done:
            return future.result()
        log.error(
            "job %s of queue %s exceeds its %g s in a thread, which can't be stopped: its slot is held till it ends",
            job.id, job.queue_name, timeout,
        )  # fmt: skip
        await asyncio.wait({future})
        late = TimeoutError(f"timed out after {timeout:g} s (its thread ran {time.monotonic() - started:.1f} s)")
        error = future.exception()
        if error is None and inspect.iscoroutine(handed_on := future.result()):
            handed_on.close()
        raise late from error
