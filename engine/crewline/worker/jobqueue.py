"""One object for a program that both adds jobs and works them off: a Queue and a Worker, and no logic of its own."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from crewline.errors import CrewlineError, InvalidOption, InvalidPayload
from crewline.queue.job import Job
from crewline.queue.observing import Metrics
from crewline.queue.queue import Queue
from crewline.queue.store import DEFAULT_PREFIX, DEFAULT_REDIS
from crewline.redis.connection import end_tasks
from crewline.wire import jsonio
from crewline.wire.checks import check_callable, check_seconds
from crewline.worker.handlers.targets import Handler
from crewline.worker.worker import Worker

log = logging.getLogger("crewline.worker")

#: Called with a job's id and its progress, whoever set it.
ProgressCallback = Callable[[str, Any], None]


class JobQueue:
    """A queue and a worker on it.

    Args:
        name: the queue's name.
        dead_letter_queue: where jobs go that failed for good; ``<name>-dlq`` if None.
        concurrency: how many jobs run at once in this program.
        redis, prefix: where the queue is.
        worker_options: further arguments of `Worker`; `start`, which makes it, checks them.
    """

    def __init__(
        self,
        name: str,
        *,
        dead_letter_queue: str | None = None,
        concurrency: int = 10,
        redis: str = DEFAULT_REDIS,
        prefix: str = DEFAULT_PREFIX,
        **worker_options: Any,
    ) -> None:
        self.queue = Queue(name, redis=redis, prefix=prefix, dead_letter_queue=dead_letter_queue)
        self._options = {
            "redis": redis, "prefix": prefix, "concurrency": concurrency, "dead_letter_queue": dead_letter_queue,
            **worker_options,
        }  # fmt: skip
        self.worker: Worker | None = None
        self._callbacks: list[ProgressCallback] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, handler: Handler) -> None:
        """Starts working; returns when the worker fetches and progress is followed.

        Raises CrewlineError if it was started before, or was stopped while it started. What Redis or the worker raised
        while it started is raised as it is; nothing is left of that start, and it may be started again.
        """
        if self.worker is not None:
            raise CrewlineError(
                f"queue {self.queue.name!r} was started before: make another JobQueue for another handler"
            )
        self.worker = worker = Worker(self.queue.name, handler, **self._options)
        try:
            after = await self.queue.last_event_id()
            self._tasks = [
                asyncio.create_task(worker.run(), name="worker"),
                asyncio.create_task(self._follow(after), name="following of progress"),
            ]
            for task in self._tasks:
                task.add_done_callback(self._tell)
            ready = asyncio.create_task(worker.wait_ready())
            try:
                await asyncio.wait({ready, self._tasks[0]}, return_when=asyncio.FIRST_COMPLETED)
                if ready.done() and ready.exception():
                    # it ends, and what it ends with tells more
                    await asyncio.wait(self._tasks[:1])
            finally:
                ready.cancel()
            if self._tasks[0].done():
                self._tasks[0].result()
                raise CrewlineError(f"the worker of queue {self.queue.name!r} was stopped while it started")
        except BaseException:
            await self._take_back(worker)
            raise

    async def wait(self) -> None:
        """Returns once `shutdown` was called, or the worker was stopped. A program that serves should await it.

        Raises what the worker has ended with if that failed: the program is to end then, or to begin anew. So it does
        where progress can't be followed any more.
        """
        if self.worker is None:
            raise CrewlineError(f"queue {self.queue.name!r} was not started: await start() first")
        if self._tasks:
            done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if not task.cancelled():
                    task.result()

    async def enqueue(self, data: Any, *, name: str = "job", **options: Any) -> Job:
        """Adds a job; ``options`` are those of `Queue.add` (priority, attempts, backoff, delay, …)."""
        return await self.queue.add(name, data, **options)

    def on_progress(self, callback: ProgressCallback) -> None:
        """Calls ``callback(job_id, progress)`` whenever a job's progress is set, by any worker or client."""
        check_callable(callback, "callback")
        if inspect.iscoroutinefunction(callback):
            raise InvalidOption(
                "a progress callback is called and not awaited: pass a plain function, which may start a task"
            )
        self._callbacks.append(callback)

    async def pause(self) -> bool:
        """Stops all workers of the queue from fetching; False if it was paused already."""
        return await self.queue.pause()

    async def resume(self) -> bool:
        """Lets workers fetch again; False if it was not paused."""
        return await self.queue.resume()

    async def metrics(self) -> Metrics:
        """How many jobs are in each state."""
        return await self.queue.metrics()

    async def shutdown(self, grace_seconds: float | None = None) -> None:
        """Lets running jobs end within the grace period, hands back the rest, and closes everything.

        Raises what the worker has ended with if that failed, once everything is closed.
        """
        if grace_seconds is not None:
            check_seconds(grace_seconds, "grace_seconds")
        if self.worker is not None and self._tasks:
            await self.worker.stop(grace_seconds)
        try:
            if self._tasks:
                await self._tasks[0]
        finally:
            await self._end_following()
            self._tasks = []
            await self.queue.close()

    async def _take_back(self, worker: Worker) -> None:
        """Ends what a start has begun that failed."""
        if self._tasks:
            # not cancelled: a worker that is cancelled twice hands nothing back
            await worker.stop(grace_seconds=0)
            await asyncio.wait(self._tasks[:1])
            await self._end_following()
        else:
            await worker.queue.close()
        self.worker, self._tasks = None, []

    async def _end_following(self) -> None:
        for task in self._tasks[1:]:
            await end_tasks(task)

    def _tell(self, task: asyncio.Task[None]) -> None:
        # at once: a program may await nothing of this object for as long as it lives
        if not task.cancelled() and (error := task.exception()):
            log.critical(
                "queue %s: the %s has ended: %s: %s", self.queue.name, task.get_name(), type(error).__name__, error
            )

    async def _follow(self, after: str) -> None:
        async for event in self.queue.events(after):
            if event.name != "progress":
                continue
            try:
                value = jsonio.loads(event.fields.get("data", "null"), "progress")
            except InvalidPayload:
                continue
            for callback in self._callbacks:
                try:
                    callback(event.job_id, value)
                except BaseException:
                    # a sys.exit(), too: no callback ends the following
                    log.exception("a progress callback raised")
