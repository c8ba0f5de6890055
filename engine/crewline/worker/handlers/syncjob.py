"""The job of a plain ``def`` handler, which can't await.

A plain function may hand on what an ``async def`` one returns (a decorator, a lambda). That is awaited on the very loop
that the job's calls are made on, where one that blocked would wait for itself: there, and only there, they are awaited.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import inspect
from collections.abc import Callable
from typing import Any

from crewline import forks
from crewline.errors import CrewlineError
from crewline.queue.job import Job

#: Seconds between two looks whether the loop that a blocked call waits for is still there.
LOOK_SECONDS = 0.5


class SyncJob:
    """A job as a plain ``def`` handler gets it: the same names, and its methods block the handler's thread.

    An ``async def`` function that it calls and whose coroutine it returns awaits them.

    A call that comes when the worker is gone raises CrewlineError: nothing would ever answer it.
    """

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self._job = job
        self._loop = loop
        self._depth = forks.depth

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._job, name)
        return functools.partial(self._call, name, value) if inspect.iscoroutinefunction(value) else value

    def __repr__(self) -> str:
        return repr(self._job)

    def _call(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if forks.depth != self._depth:
            raise CrewlineError(
                f"{name}() of job {self._job.id} can't be done in a process that its handler has forked: "
                "its worker runs in another"
            )
        if self._loop.is_closed():
            raise self._gone(name)
        coroutine = method(*args, **kwargs)
        if asyncio._get_running_loop() is self._loop:
            return coroutine
        try:
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError:
            coroutine.close()
            raise self._gone(name) from None
        while True:
            try:
                return future.result(LOOK_SECONDS)
            except concurrent.futures.CancelledError:
                raise self._gone(name) from None
            except TimeoutError:
                if future.done():
                    return future.result()
                # a loop that closes drops what it was handed in its last moment
                if self._loop.is_closed():
                    if inspect.getcoroutinestate(coroutine) == inspect.CORO_CREATED:
                        coroutine.close()
                    raise self._gone(name) from None

    def _gone(self, name: str) -> CrewlineError:
        return CrewlineError(f"{name}() of job {self._job.id} can't be done any more: its worker has stopped")
