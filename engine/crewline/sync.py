"""The producer for programs without an event loop (Django, Flask, scripts): the same names, and each call blocks.

One background thread runs the asynchronous client for all queues of the process; a forked process makes its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from crewline.queue import flows
from crewline.queue import queue as asynchronous
from crewline.queue.flows import FlowJob
from crewline.queue.job import Job as AsyncJob
from crewline.queue.observing import Metrics
from crewline.queue.store import DEFAULT_PREFIX, DEFAULT_REDIS

T = TypeVar("T")


class _Process:
    """What a process has of its own: one loop and its thread for all queues, and the lock under which they are made."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self.lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="crewline-sync", daemon=True).start()
            return self._loop


_process = _Process()


def _after_fork() -> None:
    # the thread is not there, and the lock may be held by one that is not there either
    global _process
    _process = _Process()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _wait(work: Coroutine[Any, Any, T]) -> T:
    future = asyncio.run_coroutine_threadsafe(work, _process.loop())
    try:
        return future.result()
    except BaseException:
        # Ctrl-C: what nobody waits for any more must not go on in the background
        future.cancel()
        raise


class Job:
    """A job; the attributes of `crewline.Job`, and its methods blocking, but `watch`, which has no blocking form."""

    def __init__(self, job: AsyncJob, owner: Queue) -> None:
        self._job = job
        self._owner = owner
        self._made_in = _process

    def __getattr__(self, name: str) -> Any:
        if name in ("_job", "_owner", "_made_in"):
            # a copy that is being made asks before it has one
            raise AttributeError(name)
        value = getattr(self._job, name)
        if asyncio.iscoroutinefunction(value):
            return lambda *args, **kwargs: _wait(getattr(self._here(), name)(*args, **kwargs))
        return value

    def __repr__(self) -> str:
        return repr(self._job)

    def _here(self) -> AsyncJob:
        """The job, on connections of this process."""
        if self._made_in is not _process:
            self._job._queue = self._owner._open().beside(self._job.queue_name)
            self._made_in = _process
        return self._job


@dataclass(frozen=True)
class FlowNode:
    """A job of a flow that was added, and its children; as `crewline.FlowNode`, with blocking jobs."""

    job: Job
    children: list[FlowNode]

    @classmethod
    def of(cls, node: flows.FlowNode, owner: Queue) -> FlowNode:
        return cls(Job(node.job, owner), [cls.of(child, owner) for child in node.children])


class Queue:
    """A queue to add jobs to; see `crewline.Queue` for arguments, results and errors."""

    def __init__(self, name: str, *, redis: str = DEFAULT_REDIS, prefix: str = DEFAULT_PREFIX, **options: Any) -> None:
        self.name = name
        self._arguments: dict[str, Any] = {"redis": redis, "prefix": prefix, **options}
        self._made_in = _process
        self._queue: asynchronous.Queue | None = None
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
        items = list(jobs)
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
        queue, self._queue = self._queue, None
        if queue is not None and self._made_in is _process:
            _wait(queue.close())

    def _open(self) -> asynchronous.Queue:
        with _process.lock:
            # connections must not be shared with the process this one was forked from
            if self._queue is None or self._made_in is not _process:
                self._queue = asynchronous.Queue(self.name, **self._arguments)
                self._made_in = _process
            return self._queue
