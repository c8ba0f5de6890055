"""The producer for programs without an event loop (Django, Flask, scripts): the same names, and each call blocks.

One background thread runs the asynchronous client for all queues of the process; a forked process makes its own, from
whichever thread and at whatever moment its parent forked.
"""

from __future__ import annotations

import asyncio
import functools
import os
import threading
import weakref
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from crewline.beside import start_loop
from crewline.queue import flows
from crewline.queue import queue as asynchronous
from crewline.queue.flows import FlowJob
from crewline.queue.job import Job as AsyncJob
from crewline.queue.observing import Metrics
from crewline.queue.store import DEFAULT_PREFIX, DEFAULT_REDIS
from crewline.wire.checks import check_items
from crewline.wire.options import BULK

T = TypeVar("T")


class _Process:
    """What the queues of one process share."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None


_here = _Process()
_queues: weakref.WeakSet[Queue] = weakref.WeakSet()
#: What this process has of those that it was forked from. It must never be closed, not even by the garbage collector:
#: the selector is the parent's, too, which would hear no more of what is taken out of it here.
_inherited: list[Any] = []


def _forked() -> None:
    """A child begins anew: the lock may be held by a thread that it does not have."""
    global _here
    _inherited.append((_here, [queue._opened for queue in _queues]))
    _here = _Process()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _loop() -> asyncio.AbstractEventLoop:
    here = _here
    with here.lock:
        if here.loop is None:
            here.loop = start_loop("crewline-sync", lambda loop: loop.run_forever())
        return here.loop


def _wait(work: Coroutine[Any, Any, T]) -> T:
    try:
        loop = _loop()
    except BaseException:
        work.close()
        raise
    future = asyncio.run_coroutine_threadsafe(work, loop)
    try:
        return future.result()
    except BaseException:
        # Ctrl-C: what nobody waits for any more must not go on in the background
        future.cancel()
        raise


class Job:
    """A job; the attributes of `crewline.Job`, and its methods blocking, but `watch`, which has no blocking form."""

    def __init__(self, job: AsyncJob, queue: Queue) -> None:
        self._job = job
        self._queue = queue
        self._process = _here

    def __getattr__(self, name: str) -> Any:
        if name == "_job":
            # a copy that is being made asks before it has one
            raise AttributeError(name)
        value = getattr(self._job, name)
        if asyncio.iscoroutinefunction(value):
            return functools.partial(self._call, name)
        return value

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if self._process is not _here:
            # it comes from the process that this one was forked from
            self._job, self._process = self._job.through(self._queue._open()), _here
        return _wait(getattr(self._job, name)(*args, **kwargs))

    def __repr__(self) -> str:
        return repr(self._job)


@dataclass(frozen=True)
class FlowNode:
    """A job of a flow that was added, and its children; as `crewline.FlowNode`, with blocking jobs."""

    job: Job
    children: list[FlowNode]

    @classmethod
    def of(cls, node: flows.FlowNode, queue: Queue) -> FlowNode:
        return cls(Job(node.job, queue), [cls.of(child, queue) for child in node.children])


class Queue:
    """A queue to add jobs to; see `crewline.Queue` for arguments, results and errors."""

    def __init__(self, name: str, *, redis: str = DEFAULT_REDIS, prefix: str = DEFAULT_PREFIX, **options: Any) -> None:
        self.name = name
        self._arguments: dict[str, Any] = {"redis": redis, "prefix": prefix, **options}
        self._opened: tuple[_Process, asynchronous.Queue] | None = None
        _queues.add(self)
        # wrong arguments are told now, not at the first call
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, name: str, data: Any, **options: Any) -> Job:
        """As `crewline.Queue.add`."""
        return Job(_wait(self._open().add(name, data, **options)), self)

    def add_bulk(self, jobs: Iterable[tuple[str, Any] | tuple[str, Any, dict[str, Any]]]) -> list[Job]:
        """As `crewline.Queue.add_bulk`."""
        # here, and not on the loop: what makes them may call this queue, or a database that wants its own thread
        items = check_items(jobs, "jobs", BULK)
        return [Job(job, self) for job in _wait(self._open().add_bulk(items))]

    def add_flow(self, root: FlowJob) -> FlowNode:
        """As `crewline.Queue.add_flow`."""
        return FlowNode.of(_wait(self._open().add_flow(root)), self)

    def schedule(self, schedule_id: str, name: str, data: Any = None, **rule: Any) -> str:
        """As `crewline.Queue.schedule`."""
        return _wait(self._open().schedule(schedule_id, name, data, **rule))

    def get_job(self, job_id: str) -> Job | None:
        """As `crewline.Queue.get_job`."""
        job = _wait(self._open().get_job(job_id))
        return None if job is None else Job(job, self)

    def metrics(self) -> Metrics:
        """As `crewline.Queue.metrics`."""
        return _wait(self._open().metrics())

    def remove(self, job_id: str, *, children: bool = True) -> bool:
        """As `crewline.Queue.remove`."""
        return _wait(self._open().remove(job_id, children=children))

    def cancel(self, job_id: str, reason: str = "cancelled") -> bool:
        """As `crewline.Queue.cancel`."""
        return _wait(self._open().cancel(job_id, reason))

    def pause(self) -> bool:
        """As `crewline.Queue.pause`."""
        return _wait(self._open().pause())

    def resume(self) -> bool:
        """As `crewline.Queue.resume`."""
        return _wait(self._open().resume())

    def close(self) -> None:
        """Closes the connections."""
        here = _here
        with here.lock:
            opened, self._opened = self._opened, None
        if opened and opened[0] is here:
            _wait(opened[1].close())

    def _open(self) -> asynchronous.Queue:
        here = _here
        with here.lock:
            if self._opened is None or self._opened[0] is not here:
                self._opened = (here, asynchronous.Queue(self.name, **self._arguments))
            return self._opened[1]
