"""Runs one job's handler and says how it ended.

An ``async def`` handler runs on the event loop, a plain one in a thread or a process. Whatever a handler raises
ends as a retry or a failure of that job alone; it never reaches the worker.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crewline.errors import HandlerNotFound, InvalidPayload, LeaseLost, Reject, Retry
from crewline.middleware import Middleware
from crewline.queue.job import Job
from crewline.redis.scripts import Result
from crewline.wire import backoff, jsonio
from crewline.wire.options import KEEP_COMPLETED, KEEP_FAILED, Keep, keep_from_wire
from crewline.wire.text import printable, reason_of
from crewline.worker.handlers.targets import Target, Targets
from crewline.worker.runs import outcomes
from crewline.worker.runs.answers import ChildDied, ChildFailed, ChildRefused, ChildUnavailable, Returned
from crewline.worker.runs.child import Where
from crewline.worker.runs.childless import Childless
from crewline.worker.runs.children import Children, spec_of
from crewline.worker.runs.exits import awaited, contained
from crewline.worker.runs.listeners import Listeners
from crewline.worker.runs.run import Run, Status
from crewline.worker.runs.slots import Slots
from crewline.worker.runs.threads import ThreadRefused, Threads

log = logging.getLogger("crewline.worker")

#: Characters of a stack trace that a job keeps; the end of it tells most.
MAX_TRACE = 8000

#: Milliseconds until a job is tried again whose run ended in the worker's own code.
UNFORESEEN_MS = 1000

#: Seconds until a suspect goes back for which there was no child.
PAUSE_SECONDS = 1.0

#: The system has no process or thread to give now: the job has not begun.
NOT_BEGUN = (ChildRefused, ThreadRefused)
#: Seconds between two lines of the log that say so.
REFUSED_SECONDS = 30.0

#: A wait of the user's own, by name: attempts made, the error -> seconds.
BackoffFunction = Callable[[int, Exception], float]


@dataclass
class Executor:
    """Runs handlers for a worker.

    Args:
        targets: finds each job's handler.
        slots: the worker's.
        listeners: told how runs end.
        where: the queue, for the connections of child processes.
        max_crashes: how often a job may take its own process down before it fails for good.
        timeout_seconds: the longest a run may take; None for no bound.
        middleware: hooks around each run, outermost first.
        backoffs: the user's own waits, by name.
        keep_completed, keep_failed: retention for jobs that do not bring their own; None: they stay.
        default_attempts, default_backoff: for jobs that say nothing of attempts, as BullMQ's clients add them.
    """

    targets: Targets
    slots: Slots
    listeners: Listeners
    where: Where
    max_crashes: int
    timeout_seconds: float | None = None
    middleware: Sequence[Middleware] = ()
    backoffs: Mapping[str, BackoffFunction] = field(default_factory=dict)
    keep_completed: Keep | None = None
    keep_failed: Keep | None = None
    default_attempts: int = 1
    default_backoff: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        kinds = {target.execution for target in self.targets.all()}
        self._threads = Threads(self.slots.concurrency) if "thread" in kinds else None
        self.children = Children(self.where, self.slots.concurrency)
        self.childless = Childless()
        self._refused_at: float | None = None
        self.slots.on_ended = self.listeners.ended
        for target in self.targets.all():
            if target.execution == "process":
                spec_of(target.call)

    def start(self, run: Run, *, alone: bool = False) -> None:
        """Starts a handler in a task of its own.

        Args:
            alone: in a child process that runs nothing else, whatever kind of handler it is.
        """
        self.slots.start(run)
        run.task = asyncio.create_task(self._run(run, alone))
        self.listeners.emit("active", run.job)

    def resize(self, concurrency: int) -> None:
        if self._threads:
            self._threads.resize(concurrency)
        self.children.resize(concurrency)

    async def close(self) -> None:
        """Ends the processes and lets go of the threads; one that still runs a handler ends with this process."""
        if self._threads:
            self._threads.close()
        self.children.close()
        await self.children.wait_closed()

    async def _run(self, run: Run, alone: bool) -> None:
        result: Result | None = None
        run.begun = True
        try:
            # it may have been told to end before this first step
            result = await self._handle(run, alone) if run.status is Status.RUNNING else self.ended_early(run)
        except asyncio.CancelledError:
            # told to end while it told hooks of its end
            result = self.ended_early(run)
        except BaseException as error:
            # nothing of a handler's comes here: this is a bug, and must take neither the job nor its slot with it
            log.exception("job %s of queue %s: its run ended unexpectedly", run.job.id, run.job.queue_name)
            result = self._unforeseen(run, f"{type(error).__name__}: {reason_of(error)}")
        finally:
            self.slots.end(run, result)

    async def _handle(self, run: Run, alone: bool) -> Result | None:
        job = run.job
        begun: list[Middleware] = []
        target: Target | None = None
        try:
            for hook in self.middleware:
                begun.append(hook)
                await hook.before(job)
            target = self.targets.find(job)
            value = await self._call(run, target, alone)
            text = self._encoded(value)
            if run.status is not Status.RUNNING:
                # told to end, it returned all the same
                raise asyncio.CancelledError(run.reason)
        except BaseException as error:
            if run.status is not Status.RUNNING:
                # whatever its clean-up raised: it was told to end
                result = self.ended_early(run)
            else:
                error = contained(error)
                told = self._not_in_a_child(run, target, error) if alone and target else None
                result = told or self._raised(run, error)
            for hook in begun:
                # none but those that were told of its beginning: a gauge would go below zero
                await self._quietly(run, hook.failed(job, error))
        else:
            result = outcomes.completed(
                run, text, keep_from_wire(job.opts.get("removeOnComplete"), self.keep_completed, KEEP_COMPLETED)
            )
            for hook in begun:
                await self._quietly(run, hook.after(job, value.value if isinstance(value, Returned) else value))
        if run.status is Status.LOST:
            log.warning(
                "job %s of queue %s: the result of a run that lost its lease is dropped", job.id, job.queue_name
            )
        if run.status is not Status.RUNNING:
            # also where that was while it told hooks of its end
            result = self.ended_early(run)
        return result

    async def _call(self, run: Run, target: Target, alone: bool) -> Any:
        job = run.job
        if alone:
            return await self._call_alone(run, target)
        if target.execution != "async":
            try:
                return await self._call_beside(run, target)
            except NOT_BEGUN as error:
                self._report_refused(error)
                # it would come back at once
                await asyncio.sleep(PAUSE_SECONDS)
                raise
        arguments = target.arguments(job)
        if self.timeout_seconds is None:
            return await target.call(*arguments)
        return await self._bounded(target.call(*arguments))

    async def _call_beside(self, run: Run, target: Target) -> Any:
        """In a child or a thread."""
        if target.execution == "process":
            return await self.children.run(run.job, target, timeout=self.timeout_seconds)
        assert self._threads
        run.stoppable = False
        value = await self._threads.run(run.job, target.call, target.arguments(run.job), self.timeout_seconds)
        # a plain function that calls an `async def` one and hands on what it gets
        return await awaited(value) if inspect.iscoroutine(value) else value

    def _report_refused(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if self._refused_at is None or now - self._refused_at > REFUSED_SECONDS:
            log.error("this worker can begin nothing now: %s; its jobs wait, and are tried again", error)
            self._refused_at = now

    async def _call_alone(self, run: Run, target: Target) -> Returned:
        try:
            value = await self.children.run(run.job, target, timeout=self.timeout_seconds, alone=True)
        except ChildUnavailable:
            if not self.slots.is_shut("stopping"):
                self.childless.unready(target.call)
                # it would come back at once
                await asyncio.sleep(PAUSE_SECONDS)
            raise
        except ChildFailed:
            self.childless.ran(target.call)
            raise
        self.childless.ran(target.call)
        return value

    async def _bounded(self, handling: Awaitable[Any]) -> Any:
        deadline = asyncio.timeout(self.timeout_seconds)
        try:
            async with deadline:
                value = await handling
        except TimeoutError:
            if not deadline.expired():
                raise
        else:
            if not deadline.expired():
                return value
        # also where it returned all the same
        raise TimeoutError(f"timed out after {self.timeout_seconds:g} s")

    @staticmethod
    async def _quietly(run: Run, hook: Awaitable[None]) -> None:
        """Tells a hook of an end; how the run ended stands, whatever the hook raises."""
        try:
            await awaited(hook)
        except asyncio.CancelledError:
            if run.status is not Status.RUNNING:
                raise
            # not by the worker: the handler, or the hook, has cancelled its own task
            if run.task:
                run.task.uncancel()
            log.exception("a middleware hook was cancelled")
        except Exception:
            log.exception("a middleware hook raised")

    @staticmethod
    def _encoded(value: Any) -> str:
        """A handler's result as JSON text. What is none is refused: the job's effects have happened, and to run it
        again would only repeat them."""
        if value is None:
            return "null"
        if isinstance(value, Returned):
            return value.text
        try:
            return jsonio.dumps(value, "the handler's result")
        except InvalidPayload as error:
            raise Reject(str(error)) from None

    def ended_early(self, run: Run) -> Result | None:
        """The result of a run that was told to end."""
        if run.status is Status.CANCELLED:
            return self.failed(run, run.reason, "", letter=False)
        if run.status is Status.LOST:
            return None
        # the worker stops, or its event loop ends under it
        return outcomes.back(run)

    def _raised(self, run: Run, error: Exception) -> Result | None:
        job = run.job
        if isinstance(error, LeaseLost):
            run.end_early(Status.LOST)
            return None
        if isinstance(error, NOT_BEGUN) or (isinstance(error, ChildUnavailable) and self.slots.is_shut("stopping")):
            return outcomes.back(run)
        if isinstance(error, ChildDied) and run.suspect:
            return self._crashed(run, error)
        reason = reason_of(error)
        trace = "" if isinstance(error, Reject) else printable(_trace(error))
        attempts_made = job.attempts_made + 1
        if isinstance(error, Reject) or attempts_made >= self._attempts(job):
            return self.failed(run, reason, trace)
        return outcomes.retry(run, reason, trace, self._delay_ms(job, attempts_made, error))

    def _unforeseen(self, run: Run, reason: str) -> Result:
        if run.job.attempts_made + 1 >= self._attempts(run.job):
            return self.failed(run, reason, "")
        return outcomes.retry(run, reason, "", UNFORESEEN_MS)

    def _not_in_a_child(self, run: Run, target: Target, error: Exception) -> Result | None:
        """Hands back a suspect that its child tells nothing of: it runs in this worker. None for one that has ended."""
        job = run.job
        match error:
            case ChildFailed() if target.execution != "process":
                # it may miss what only this program has set up; its process has outlived it, as the worker will
                log.warning(
                    "job %s of queue %s raised in a process of its own (%s): it runs beside others next",
                    job.id, job.queue_name, error,
                )  # fmt: skip
                return outcomes.back(run, tried=True)
            case HandlerNotFound() | InvalidPayload():
                self.childless.unable(target.call)
            case ChildUnavailable():
                pass
            case _:
                return None
        if not self.slots.is_shut("stopping"):
            log.warning("job %s of queue %s can't run in a process of its own: %s", job.id, job.queue_name, error)
        return outcomes.back(run)

    def _crashed(self, run: Run, error: ChildDied) -> Result:
        crashes = run.job.crashes + 1
        log.error(
            "job %s of queue %s took the process down that ran nothing but it (%d of %d times): %s",
            run.job.id, run.job.queue_name, crashes, self.max_crashes, error,
        )  # fmt: skip
        if crashes < self.max_crashes:
            return outcomes.back(run, crashed=True)
        return self.failed(run, f"job took its process down {crashes} times: {error}", "")

    def _attempts(self, job: Job) -> int:
        # BullMQ writes 0 where its user said nothing
        return job.attempts if job.opts.get("attempts") else self.default_attempts

    def _delay_ms(self, job: Job, attempts_made: int, error: Exception) -> int:
        if isinstance(error, Retry) and error.delay is not None:
            # anything a handler may have computed, NaN and infinity too
            return round(min(error.delay * 1000, backoff.MAX_DELAY_MS)) if error.delay > 0 else 0
        wanted = job.opts.get("backoff")
        if wanted is None and not job.opts.get("attempts"):
            wanted = self.default_backoff
        kind = wanted.get("type") if isinstance(wanted, dict) else None
        own = self.backoffs.get(kind) if isinstance(kind, str) else None
        if own is not None:
            try:
                return min(max(round(own(attempts_made, error) * 1000), 0), backoff.MAX_DELAY_MS)
            except Exception:
                log.exception("backoff function %r raised: the job's plain delay is used", wanted)
        return backoff.delay_ms(wanted, attempts_made)

    def failed(self, run: Run, reason: str, trace: str, *, unreadable: bool = False, letter: bool = True) -> Result:
        """The result of a job that has failed for good."""
        return outcomes.failed(
            run, reason, trace, unreadable=unreadable, letter=letter,
            keep=keep_from_wire(run.job.opts.get("removeOnFail"), self.keep_failed, KEEP_FAILED),
            # as BullMQ counts: the last attempt is the last, whatever ended it
            exhausted=run.job.attempts_made + 1 >= self._attempts(run.job),
        )  # fmt: skip


def _trace(error: Exception) -> str:
    if isinstance(error, ChildFailed):
        return error.trace[-MAX_TRACE:]
    return "".join(traceback.format_exception(error))[-MAX_TRACE:]
