"""Runs one job's handler and says how it ended.

An ``async def`` handler runs on the event loop, a plain one in a thread or a process. Whatever a handler raises
ends as a retry or a failure of that job alone; it never reaches the worker.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crewline.errors import InvalidPayload, LeaseLost, Reject, Retry
from crewline.middleware import Middleware
from crewline.queue.job import Job
from crewline.redis.scripts import Result
from crewline.wire import backoff, jsonio
from crewline.wire.options import KEEP_COMPLETED, KEEP_FAILED, Keep, keep_from_wire
from crewline.wire.text import printable
from crewline.worker.handlers.targets import Target, Targets
from crewline.worker.runs.child import Where
from crewline.worker.runs.children import Children, spec_of
from crewline.worker.runs.exits import awaited
from crewline.worker.runs.listeners import Listeners
from crewline.worker.runs.outcomes import ChildFailed, Returned
from crewline.worker.runs.state import Run, State, result_of
from crewline.worker.runs.threads import Threads

log = logging.getLogger("crewline.worker")

#: Characters of a stack trace that a job keeps; the end of it tells most.
MAX_TRACE = 8000
#: Stack traces that a job keeps when its options say nothing.
MAX_TRACES = 10

#: A wait of the user's own, by name: attempts made, the error -> seconds.
BackoffFunction = Callable[[int, Exception], float]


@dataclass
class Executor:
    """Runs handlers for a worker.

    Args:
        targets: finds each job's handler.
        state: the worker's state.
        listeners: told how runs end.
        timeout_seconds: the longest a run may take; None for no bound.
        middleware: hooks around each run, outermost first.
        backoffs: the user's own waits, by name.
        keep_completed, keep_failed: retention for jobs that do not bring their own.
        default_attempts, default_backoff: for jobs that say nothing of attempts, as BullMQ's clients add them.
        where: the queue, for child processes' own connections; None if no handler runs in one.
    """

    targets: Targets
    state: State
    listeners: Listeners
    timeout_seconds: float | None = None
    middleware: Sequence[Middleware] = ()
    backoffs: Mapping[str, BackoffFunction] = field(default_factory=dict)
    keep_completed: Keep = KEEP_COMPLETED
    keep_failed: Keep = KEEP_FAILED
    default_attempts: int = 1
    default_backoff: dict[str, Any] | None = None
    where: Where | None = None

    def __post_init__(self) -> None:
        kinds = {target.execution for target in self.targets.all()}
        self._threads = Threads(self.state.concurrency) if "thread" in kinds else None
        self._children = Children(self.where) if self.where and "process" in kinds else None
        for target in self.targets.all():
            if target.execution == "process":
                spec_of(target.call)

    def start(self, run: Run) -> None:
        """Starts a handler in a task of its own."""
        self.state.running[run.job.id] = run
        run.task = asyncio.create_task(self._run(run))

    def resize(self, concurrency: int) -> None:
        if self._threads:
            self._threads.resize(concurrency)

    def close(self) -> None:
        """Ends the processes and lets go of the threads; one that still runs a handler ends with this process."""
        if self._threads:
            self._threads.close()
        if self._children:
            self._children.close()

    async def _run(self, run: Run) -> None:
        job = run.job
        begun: list[Middleware] = []
        try:
            for hook in self.middleware:
                begun.append(hook)
                await hook.before(job)
            target = self.targets.find(job)
            run.stoppable = target.execution != "thread"
            result = self._completed(run, value := await self._call(target, job))
            for hook in self.middleware:
                await self._quietly(hook.after(job, value.value if isinstance(value, Returned) else value))
        except asyncio.CancelledError as error:
            await self._tell_failed(begun, job, error)
            if run.lost:
                return
            if run.cancelled is not None:
                result = self.failed(run, run.cancelled, "", letter=False)
            elif run.handing_back:
                result = result_of(run, "back", "")
            else:
                result = self.failed(run, "the run was cancelled", "")
        except Exception as error:
            await self._tell_failed(begun, job, error)
            result = self._raised(run, error)
        finally:
            self.state.forget(run)
        if run.lost:
            log.warning(
                "job %s of queue %s: the result of a run that lost its lease is dropped", job.id, job.queue_name
            )
            return
        if self.listeners:
            self.listeners.ended(job, result)
        self.state.settle(result)

    async def _call(self, target: Target, job: Job) -> Any:
        if target.execution == "process":
            assert self._children
            return await self._children.run(job, target, timeout=self.timeout_seconds)
        arguments = target.arguments(job)
        if target.execution == "thread":
            assert self._threads
            return await self._threads.run(job, target.call, arguments, self.timeout_seconds)
        if self.timeout_seconds is None:
            return await awaited(target.call(*arguments))
        return await self._bounded(awaited(target.call(*arguments)))

    async def _bounded(self, handling: Awaitable[Any]) -> Any:
        deadline = asyncio.timeout(self.timeout_seconds)
        try:
            async with deadline:
                return await handling
        except TimeoutError:
            if deadline.expired():
                raise TimeoutError(f"timed out after {self.timeout_seconds:g} s") from None
            raise

    async def _tell_failed(self, begun: Sequence[Middleware], job: Job, error: BaseException) -> None:
        # none but those that were told of its beginning: a gauge would go below zero
        for hook in begun:
            await self._quietly(hook.failed(job, error))

    @staticmethod
    async def _quietly(hook: Awaitable[None]) -> None:
        try:
            await hook
        except Exception:
            log.exception("a middleware hook raised")

    def _completed(self, run: Run, value: Any) -> Result:
        try:
            if isinstance(value, Returned):
                text = value.text
            else:
                text = "null" if value is None else jsonio.dumps(value, "the handler's result")
        except InvalidPayload as error:
            # its effects have happened: running it again would only repeat them
            return self.failed(run, str(error), "")
        keep = keep_from_wire(run.job.opts.get("removeOnComplete"), self.keep_completed)
        return result_of(run, "completed", text, keep_completed=keep, keep_failed=self._keep_failed(run.job))

    def _raised(self, run: Run, error: Exception) -> Result:
        job = run.job
        if isinstance(error, LeaseLost):
            run.lost = True
        reason = printable(str(error) or type(error).__name__)
        trace = "" if isinstance(error, Reject) else printable(_trace(error))
        attempts_made = job.attempts_made + 1
        if isinstance(error, Reject) or attempts_made >= self._attempts(job):
            return self.failed(run, reason, trace)
        delay_ms = self._delay_ms(job, attempts_made, error)
        lifo = job.opts.get("lifo") is True
        return result_of(run, "retry", reason, trace=trace, traces=_traces(job), delay_ms=delay_ms, lifo=lifo)

    def _keep_failed(self, job: Job) -> str:
        return keep_from_wire(job.opts.get("removeOnFail"), self.keep_failed)

    def _attempts(self, job: Job) -> int:
        # BullMQ writes 0 where its user said nothing
        return job.attempts if job.opts.get("attempts") else self.default_attempts

    def _delay_ms(self, job: Job, attempts_made: int, error: Exception) -> int:
        if isinstance(error, Retry) and error.delay is not None:
            return max(round(error.delay * 1000), 0)
        wanted = job.opts.get("backoff")
        if wanted is None and not job.opts.get("attempts"):
            wanted = self.default_backoff
        own = self.backoffs.get(wanted.get("type", "")) if isinstance(wanted, dict) else None
        if own is not None:
            try:
                return min(max(round(own(attempts_made, error) * 1000), 0), backoff.MAX_DELAY_MS)
            except Exception:
                log.exception("backoff function %r raised: the job's plain delay is used", wanted)
        return backoff.delay_ms(wanted, attempts_made)

    def failed(
        self,
        run: Run,
        reason: str,
        trace: str,
        *,
        unreadable: bool = False,
        letter: bool = True,
    ) -> Result:
        """The result of a job that has failed for good."""
        # as BullMQ counts: the last attempt is the last, whatever ended it
        exhausted = run.job.attempts_made + 1 >= self._attempts(run.job)
        return result_of(
            run, "failed", reason, trace=trace, traces=_traces(run.job), keep_failed=self._keep_failed(run.job),
            exhausted=exhausted, unreadable=unreadable, letter=letter, optionless=not run.job.opts,
        )  # fmt: skip


def _trace(error: Exception) -> str:
    if isinstance(error, ChildFailed):
        return error.trace[-MAX_TRACE:]
    return "".join(traceback.format_exception(error))[-MAX_TRACE:]


def _traces(job: Job) -> int:
    limit = job.opts.get("stackTraceLimit")
    return limit if isinstance(limit, int) and limit >= 0 else MAX_TRACES
