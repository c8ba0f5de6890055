"""Runs plain functions in threads.

Nothing can stop a thread: a run that exceeds its time keeps its slot until it ends, and the log says so.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
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

    async def run(
        self, job: Job, call: Callable[..., Any], arguments: tuple[Any, ...], timeout: float | None
    ) -> tuple[Any, float]:
        """Calls ``call`` with a `SyncJob` and the other arguments; returns what it returns, and the seconds it took.

        Args:
            timeout: seconds that it may take, from when a thread begins with it; TimeoutError once it ended too late.
        """
        # the thread sees what hooks have set for this run, such as its span
        context = contextvars.copy_context()
        timed = _Timed(functools.partial(context.run, call, SyncJob(job, asyncio.get_running_loop()), *arguments[1:]))
        future = self._pool.call(timed)
        if timeout is None:
            return await future, timed.seconds
        while (left := timeout - timed.seconds) > 0:
            # where no thread has begun with it in this time, it has all of its own still
            if (await asyncio.wait({future}, timeout=left))[0]:
                return future.result(), timed.seconds
        log.error(
            "job %s of queue %s exceeds its %g s in a thread, which can't be stopped: its slot is held till it ends",
            job.id, job.queue_name, timeout,
        )  # fmt: skip
        await asyncio.wait({future})
        error = future.exception()
        if error is None and asyncio.iscoroutine(late := future.result()):
            # nobody awaits it any more
            late.close()
        raise TimeoutError(f"timed out after {timeout:g} s (its thread ran {timed.seconds:.1f} s)") from error


class _Timed:
    """A call that knows how long a thread has run it: it may have to wait for one that runs another."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self._function = function
        self._began: float | None = None
        self._ended: float | None = None

    def __call__(self) -> Any:
        self._began = time.monotonic()
        try:
            return self._function()
        finally:
            self._ended = time.monotonic()

    @property
    def seconds(self) -> float:
        """So long; 0 where none has begun."""
        return 0.0 if self._began is None else (self._ended or time.monotonic()) - self._began
