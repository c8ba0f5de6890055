"""Runs plain functions in threads.

Nothing can stop a thread: a run that exceeds its time keeps its slot until it ends, and the log says so. The threads
are daemons, unlike those of the standard library's pool, which are joined when the interpreter ends: one stuck handler
would keep a worker that was told to stop from ever ending.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from crewline.errors import CrewlineError
from crewline.queue.job import Job
from crewline.worker.runs.exits import contained

log = logging.getLogger("crewline.worker")

#: Seconds between two looks whether the loop that a blocked call waits for is still there.
LOOK_SECONDS = 0.5


class SyncJob:
    """A job as a plain ``def`` handler gets it: the same names, and its methods block the handler's thread.

    A call that comes when the worker is gone raises CrewlineError: nothing would ever answer it.
    """

    def __init__(self, job: Job, loop: asyncio.AbstractEventLoop) -> None:
        self._job = job
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._job, name)
        return functools.partial(self._call, name, value) if inspect.iscoroutinefunction(value) else value

    def __repr__(self) -> str:
        return repr(self._job)

    def _call(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._loop.is_closed():
            raise self._gone(name)
        coroutine = method(*args, **kwargs)
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


class ThreadRefused(CrewlineError):
    """The system has no thread to give now."""


class _Work(NamedTuple):
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    function: Callable[[], Any]


class Pool:
    """Daemon threads that call functions for an event loop.

    Args:
        size: how many there are at most; one is started where none is idle.
        name: what they are called.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._ready = threading.Condition()
        self._work: deque[_Work] = deque()
        self._count = 0
        # who waits for work, less those that were woken for some already
        self._idle = 0
        self._closed = False

    def call(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Calls ``function`` in a thread; what it raises comes as an Exception, whatever it was.

        Raises:
            ThreadRefused: there is none, and none can be started.
        """
        loop = asyncio.get_running_loop()
        work = _Work(loop, loop.create_future(), function)
        with self._ready:
            if self._closed:
                raise CrewlineError(f"the pool {self._name} is closed: it runs nothing any more")
            self._work.append(work)
            if self._idle:
                self._idle -= 1
                self._ready.notify()
            elif self._count < self._size:
                try:
                    self._start()
                except RuntimeError as error:
                    # none to be had now (the limit of a pod): one that is there takes the work when it is done
                    if not self._count:
                        self._work.remove(work)
                        raise ThreadRefused(f"a thread could not be started: {error}") from error
        return work.future

    def resize(self, size: int) -> None:
        """Sets how many threads there are at most; those above it end once they are idle."""
        with self._ready:
            self._size = size
            for _ in range(min(len(self._work), size - self._count)):
                self._start()
            self._wake_all()

    def close(self) -> None:
        """Drops what has not begun, and ends the threads; one that is busy ends later, or with the process."""
        with self._ready:
            self._closed = True
            for work in self._work:
                work.future.cancel()
            self._work.clear()
            self._wake_all()

    def _wake_all(self) -> None:
        self._idle = 0
        self._ready.notify_all()

    def _start(self) -> None:
        self._count += 1
        try:
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        except BaseException:
            self._count -= 1
            raise

    def _serve(self) -> None:
        while True:
            with self._ready:
                while True:
                    if self._closed or self._count > self._size:
                        self._count -= 1
                        return
                    if self._work:
                        work = self._work.popleft()
                        break
                    self._idle += 1
                    self._ready.wait()
            if not work.future.cancelled():
                _carry_out(work)
            # an idle thread keeps no job alive
            del work


def _carry_out(work: _Work) -> None:
    value, error = None, None
    try:
        value = work.function()
    except BaseException as raised:
        error = contained(raised)
    try:
        work.loop.call_soon_threadsafe(_settle, work.future, value, error)
    except RuntimeError:
        pass  # the loop is closed: nobody waits any more


def _settle(future: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)


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
        raise TimeoutError(f"timed out after {timeout:g} s (its thread ran {time.monotonic() - started:.1f} s)")
