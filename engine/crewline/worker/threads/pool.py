"""Daemon threads for an event loop, unlike those of the standard library's pool, which are joined when the interpreter
ends: one stuck handler would keep a worker that was told to stop from ever ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from crewline import forks
from crewline.beside import ThreadRefused, start_thread
from crewline.errors import CrewlineError
from crewline.worker.handlers.exits import contained
from crewline.worker.handlers.forks import end_copy


class NoThread(ThreadRefused):
    """A pool has no thread, and has called nothing. A function that it calls may meet a ThreadRefused of its own."""


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
            NoThread: there is none, and none can be started.
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
                except ThreadRefused as error:
                    # none to be had now (the limit of a pod): one that is there takes the work when it is done
                    if not self._count:
                        self._work.remove(work)
                        raise NoThread(str(error)) from error
        return work.future

    def resize(self, size: int) -> None:
        """Sets how many threads there are at most; those above it end once they are idle."""
        with self._ready:
            self._size = size
            with contextlib.suppress(ThreadRefused):
                # where there are none to be had now, those that are there do the work
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
            start_thread(self._serve, name=self._name)
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
    depth = forks.depth
    try:
        value = work.function()
    except BaseException as raised:
        end_copy(depth, raised)
        error = contained(raised)
    end_copy(depth)
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
