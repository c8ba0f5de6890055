"""Runs one job: hooks around its handler, and the one end that it comes to.

Whatever a handler or a hook raises ends as a retry or a failure of that job alone; it never reaches the worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from crewline import forks
from crewline.errors import HandlerNotFound, InvalidOption, InvalidPayload, Reject
from crewline.middleware import Middleware
from crewline.redis.scripts import Result
from crewline.wire import jsonio
from crewline.wire.checks import check_items
from crewline.wire.text import reason_of
from crewline.worker.handlers.exits import awaited, contained
from crewline.worker.handlers.forks import end_copy
from crewline.worker.handlers.targets import Target, Targets
from crewline.worker.processes.answers import ChildFailed, ChildUnavailable, Returned
from crewline.worker.runs import outcomes
from crewline.worker.runs.calling import Calling
from crewline.worker.runs.listeners import Listeners
from crewline.worker.runs.run import Run, Status
from crewline.worker.runs.slots import Slots
from crewline.worker.runs.verdicts import Verdicts

log = logging.getLogger("crewline.worker")


class Executor:
    """Runs jobs for one worker.

    Args:
        targets: finds each job's handler.
        slots, listeners, calling, verdicts: the worker's.
        middleware: hooks around each run, outermost first.
    """

    def __init__(
        self,
        targets: Targets,
        slots: Slots,
        listeners: Listeners,
        calling: Calling,
        verdicts: Verdicts,
        middleware: Sequence[Middleware] = (),
    ) -> None:
        self._targets = targets
        self._slots = slots
        self._listeners = listeners
        self._calling = calling
        self._verdicts = verdicts
        self._middleware = check_items(middleware, "middleware", "a list of objects of Middleware")
        if not all(isinstance(hooks, Middleware) for hooks in self._middleware):
            raise InvalidOption(
                f"middleware {middleware!r} must be a list of objects of Middleware, not of its classes"
            )
        slots.on_ended.append(listeners.ended)
        slots.on_lost.append(listeners.lost)

    def start(self, run: Run, *, alone: bool = False) -> None:
        """Starts a handler in a task of its own.

        Args:
            alone: in a child process that runs nothing else, whatever kind of handler it is.
        """
        self._slots.start(run)
        run.task = asyncio.create_task(self._run(run, alone))
        self._listeners.emit("active", run.job)

    async def _run(self, run: Run, alone: bool) -> None:
        result: Result | None = None
        run.begun = True
        try:
            # it may have been told to end before this first step
            running = run.status is Status.RUNNING
            result = await self._handle(run, alone) if running else self._verdicts.ended_early(run)
        except asyncio.CancelledError:
            # told to end while it told hooks of its end
            result = self._verdicts.ended_early(run)
        except BaseException as error:
            # nothing of a handler's comes here: this is a bug, and must take neither the job nor its slot with it
            log.exception("job %s of queue %s: its run ended unexpectedly", run.job.id, run.job.queue_name)
            result = self._verdicts.unforeseen(run, f"{type(error).__name__}: {reason_of(error)}")
        finally:
            self._slots.end(run, result)

    async def _handle(self, run: Run, alone: bool) -> Result | None:
        job = run.job
        begun: list[Middleware] = []
        target: Target | None = None
        depth = forks.depth
        try:
            for hook in self._middleware:
                begun.append(hook)
                await hook.before(job)
            target = self._targets.find(job)
            value = await (self._calling.call_alone if alone else self._calling.call)(run, target)
            end_copy(depth)
            text = _encoded(value)
            if run.status is not Status.RUNNING:
                # told to end, it returned all the same
                raise asyncio.CancelledError(run.reason)
        except BaseException as error:
            end_copy(depth, error)
            await self._hear_of_the_end(run, error)
            if run.status is not Status.RUNNING:
                # whatever its clean-up raised: it was told to end
                result = self._verdicts.ended_early(run)
            else:
                error = contained(error)
                told = self._not_in_a_child(run, target, error) if alone and target else None
                result = told or self._verdicts.raised(run, error)
            raised = error
            # none but those that were told of its beginning: a gauge would go below zero
            await _tell(run, begun, lambda hook: hook.failed(job, raised))
        else:
            result = self._verdicts.completed(run, text)
            if begun:
                returned = value.value if isinstance(value, Returned) else value
                await _tell(run, begun, lambda hook: hook.after(job, returned))
        if run.status is Status.LOST:
            log.warning(
                "job %s of queue %s: the result of a run that lost its lease is dropped", job.id, job.queue_name
            )
        if run.status is not Status.RUNNING:
            # also where that was while it told hooks of its end
            result = self._verdicts.ended_early(run)
        return result

    async def _hear_of_the_end(self, run: Run, error: BaseException) -> None:
        """Hands back a run that was ended with the worker, as asyncio.run ends all tasks once its program has ended."""
        if isinstance(error, asyncio.CancelledError) and run.open and run.task and run.task.cancelling():
            # the worker hears of it in this same moment
            await asyncio.sleep(0)
            if self._slots.is_shut("stopping"):
                run.end_early(Status.RETURNED)

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
            case HandlerNotFound():
                self._calling.childless.unable(target.call)
            case InvalidPayload():
                # what a hook has given it, perhaps
                self._calling.childless.unsendable(job)
            case ChildUnavailable():
                pass
            case _:
                return None
        if not self._slots.is_shut("stopping"):
            log.warning("job %s of queue %s can't run in a process of its own: %s", job.id, job.queue_name, error)
        return outcomes.back(run)


async def _tell(run: Run, hooks: Sequence[Middleware], tell: Callable[[Middleware], Awaitable[None]]) -> None:
    """Tells hooks of an end; how the run ended stands, whatever a hook raises, also one that can't even be called."""

    async def call(hook: Middleware) -> None:
        await tell(hook)

    for hook in hooks:
        try:
            await awaited(call(hook))
        except asyncio.CancelledError:
            if run.status is not Status.RUNNING:
                raise
            # not by the worker: the handler, or the hook, has cancelled its own task
            if run.task:
                run.task.uncancel()
            log.exception("a middleware hook was cancelled")
        except Exception:
            log.exception("a middleware hook raised")


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
