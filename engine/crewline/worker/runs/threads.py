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
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from crewline.queue.job import Job

log = logging.getLogger("crewline.worker")


class SyncJob:
    """A job as a plain ``def`` handler gets it: the same names, and its methods block the handler's thread."""

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self._job = job
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._job, name)
        if inspect.iscoroutinefunction(value):

            def call(*args: Any, **kwargs: Any) -> Any:
                return asyncio.run_coroutine_threadsafe(value(*args, **kwargs), self._loop).result()

            return call
        return value

    def __repr__(self) -> str:
        return repr(self._job)


class Threads:
    """The threads of one worker, one a slot."""

    def __init__(self, size: int) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="crewline-handler")

    def resize(self, size: int) -> None:
        # the pool starts threads as they are needed, up to this bound; it never ends idle ones
        self._pool._max_workers = size

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def run(self, job: Job, call: Callable[..., Any], arguments: tuple[Any, ...], timeout: float | None) -> Any:
        """Calls ``call`` with a `SyncJob` and the other arguments; TimeoutError once it ended too late."""
        loop = asyncio.get_running_loop()
        started = time.monotonic()
        # the thread sees what hooks have set for this run, such as its span
        call = functools.partial(contextvars.copy_context().run, call)
        future = loop.run_in_executor(self._pool, call, SyncJob(job, loop), *arguments[1:])
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
        raise TimeoutError(f"timed out after {timeout:g} s (its thread ran {time.monotonic() - started:.1f} s)")
