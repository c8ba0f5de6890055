"""Runs one job's handler and says how it ended.

An ``async def`` handler runs on the event loop, a plain ``def`` one in a thread. Whatever a handler raises ends
as a retry or a failure of that job alone; it never reaches the worker.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from crewline import backoff, jsonio
from crewline.errors import InvalidOption, InvalidPayload, LeaseLost, Reject, Retry
from crewline.job import Job, printable
from crewline.options import KEEP_COMPLETED, KEEP_FAILED, Keep, keep_from_wire
from crewline.scripts import Result
from crewline.worker.state import Run, State, result_of

log = logging.getLogger("crewline.worker")

Handler = Callable[[Any], Any]

#: Characters of a stack trace that a job keeps; the end of it tells most.
MAX_TRACE = 8000
#: Stack traces that a job keeps when its options say nothing.
MAX_TRACES = 10


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


@dataclass
class Executor:
    """Runs handlers for a worker.

    Args:
        handler: ``async def handle(job)`` or ``def handle(job)``; returns the job's result, strict JSON.
        state: the worker's state.
        execution: ``thread`` or ``async``; None for what the handler is.
        timeout_seconds: the longest a run may take; None for no bound.
        keep_completed, keep_failed: retention for jobs that do not bring their own.
    """

    handler: Handler
    state: State
    execution: Literal["async", "thread"] | None = None
    timeout_seconds: float | None = None
    keep_completed: Keep = KEEP_COMPLETED
    keep_failed: Keep = KEEP_FAILED
    _threads: ThreadPoolExecutor | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        call = self.handler if inspect.isroutine(self.handler) else getattr(self.handler, "__call__", None)  # noqa: B004
        self.asynchronous = inspect.iscoroutinefunction(call)
        if self.execution == "thread" and self.asynchronous:
            raise InvalidOption(
                "execution 'thread' needs a plain `def` handler, and this one is `async def`: leave execution out"
            )
        if not self.asynchronous:
            self._threads = ThreadPoolExecutor(self.state.concurrency, thread_name_prefix="crewline-handler")

    def start(self, run: Run) -> None:
        """Starts a handler in a task of its own."""
        self.state.running[run.job.id] = run
        run.task = asyncio.create_task(self._run(run))

    def close(self) -> None:
        """Lets go of the threads; one that still runs a handler can't be stopped and ends with the process."""
        if self._threads:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, run: Run) -> None:
        state, job = self.state, run.job
        try:
            if self.asynchronous:
                if self.timeout_seconds is None:
                    value = await self.handler(job)
                else:
                    value = await self._bounded(self.handler(job))
            else:
                value = await self._in_thread(job)
            result = self._completed(run, value)
        except asyncio.CancelledError:
            # a lost lease, or a drain that ran out of time: said by whoever cancelled
            if run.lost:
                return
            if not run.handing_back:
                result = self.failed(run, "the run was cancelled", "")
            else:
                result = result_of(run, "back", "")
        except Exception as error:
            result = self._raised(run, error)
        finally:
            state.forget(run)
        if run.lost:
            log.warning(
                "job %s of queue %s: the result of a run that lost its lease is dropped", job.id, job.queue_name
            )
            return
        state.settle(result)

    async def _bounded(self, handling: Awaitable[Any]) -> Any:
        deadline = asyncio.timeout(self.timeout_seconds)
        try:
            async with deadline:
                return await handling
        except TimeoutError:
            if deadline.expired():
                raise TimeoutError(f"timed out after {self.timeout_seconds:g} s") from None
            raise

    async def _in_thread(self, job: Job) -> Any:
        loop = asyncio.get_running_loop()
        started = time.monotonic()
        future = loop.run_in_executor(self._threads, self.handler, SyncJob(job, loop))
        if self.timeout_seconds is None:
            return await future
        done, _ = await asyncio.wait({future}, timeout=self.timeout_seconds)
        if done:
            return future.result()
        # nothing can stop a thread: the slot stays taken until it ends, and the job fails then
        log.error(
            "job %s of queue %s exceeds its %g s in a thread, which can't be stopped: its slot is held till it ends",
            job.id, job.queue_name, self.timeout_seconds,
        )  # fmt: skip
        await asyncio.wait({future})
        raise TimeoutError(
            f"timed out after {self.timeout_seconds:g} s (its thread ran {time.monotonic() - started:.1f} s)"
        )

    def _completed(self, run: Run, value: Any) -> Result:
        try:
            text = "null" if value is None else jsonio.dumps(value, "the handler's result")
        except InvalidPayload as error:
            # its effects have happened: running it again would only repeat them
            return self.failed(run, str(error), "")
        keep = keep_from_wire(run.job.opts.get("removeOnComplete"), self.keep_completed)
        return result_of(run, "completed", text, keep=keep)

    def _raised(self, run: Run, error: Exception) -> Result:
        job = run.job
        if isinstance(error, LeaseLost):
            run.lost = True
        reason = printable(str(error) or type(error).__name__)
        trace = "" if isinstance(error, Reject) else printable("".join(traceback.format_exception(error))[-MAX_TRACE:])
        attempts_made = job.attempts_made + 1
        if isinstance(error, Reject) or attempts_made >= job.attempts:
            return self.failed(run, reason, trace, exhausted=attempts_made >= job.attempts)
        delay_ms = backoff.delay_ms(job.opts.get("backoff"), attempts_made)
        if isinstance(error, Retry) and error.delay is not None:
            delay_ms = round(error.delay * 1000)
        return result_of(run, "retry", reason, trace=trace, traces=_traces(job), delay_ms=max(delay_ms, 0))

    def failed(self, run: Run, reason: str, trace: str, *, exhausted: bool = False, unreadable: bool = False) -> Result:
        """The result of a job that has failed for good."""
        flags = ("e" if exhausted else "") + ("u" if unreadable else "")
        keep = keep_from_wire(run.job.opts.get("removeOnFail"), self.keep_failed)
        return result_of(run, "failed", reason, trace=trace, traces=_traces(run.job), keep=keep, flags=flags)


def _traces(job: Job) -> int:
    limit = job.opts.get("stackTraceLimit")
    return limit if isinstance(limit, int) and limit >= 0 else MAX_TRACES
