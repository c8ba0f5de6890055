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

_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def _loop() -> asyncio.AbstractEventLoop:
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="crewline-sync", daemon=True).start()
        return loop


def _wait(work: Coroutine[Any, Any, T]) -> T:
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result()
    except BaseException:
        # Ctrl-C: what nobody waits for any more must not go on in the background
        future.cancel()
        raise


class Job:
    """A job; the attributes of `crewline.Job`, and its methods blocking, but `watch`, which has no blocking form."""

    def __init__(self, job: AsyncJob) -> None:
        self._job = job

    def __getattr__(self, name: str) -> Any:
        if name == "_job":
            # a copy that is being made asks before it has one
            raise AttributeError(name)
        value = getattr(self._job, name)
        if asyncio.iscoroutinefunction(value):
            return lambda *args, **kwargs: _wait(value(*args, **kwargs))
        return value

    def __repr__(self) -> str:
        return repr(self._job)


@dataclass(frozen=True)
class FlowNode:
    """A job of a flow that was added, and its children; as `crewline.FlowNode`, with blocking jobs."""

    job: Job
    children: list[FlowNode]

    @classmethod
    def of(cls, node: flows.FlowNode) -> FlowNode:
        return cls(Job(node.job), [cls.of(child) for child in node.children])


class Queue:
    """A queue to add jobs to; see `crewline.Queue` for arguments, results and errors."""

    def __init__(self, name: str, *, redis: str = DEFAULT_REDIS, prefix: str = DEFAULT_PREFIX, **options: Any) -> None:
        self.name = name
        self._arguments: dict[str, Any] = {"redis": redis, "prefix": prefix, **options}
        self._pid = 0
        self._queue: asynchronous.Queue | None = None
        # wrong arguments are told now, not at the first call
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, name: str, data: Any, **options: Any) -> Job:
        """As `crewline.Queue.add`."""
        return Job(_wait(self._open().add(name, data, **options)))

    def add_bulk(self, jobs: Iterable[tuple[str, Any] | tuple[str, Any, dict[str, Any]]]) -> list[Job]:
        """As `crewline.Queue.add_bulk`."""
        return [Job(job) for job in _wait(self._open().add_bulk(jobs))]

    def add_flow(self, root: FlowJob) -> FlowNode:
        """As `crewline.Queue.add_flow`."""
        return FlowNode.of(_wait(self._open().add_flow(root)))

    def schedule(self, schedule_id: str, name: str, data: Any = None, **rule: Any) -> str:
        """As `crewline.Queue.schedule`."""
        return _wait(self._open().schedule(schedule_id, name, data, **rule))

    def get_job(self, job_id: str) -> Job | None:
        """As `crewline.Queue.get_job`."""
        job = _wait(self._open().get_job(job_id))
        return None if job is None else Job(job)

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
        if self._queue is not None and self._pid == os.getpid():
            _wait(self._queue.close())
        self._queue = None

    def _open(self) -> asynchronous.Queue:
        # connections must not be shared with the process this one was forked from
        if self._queue is None or self._pid != os.getpid():
            self._queue = asynchronous.Queue(self.name, **self._arguments)
            self._pid = os.getpid()
        return self._queue
