"""Where a handler is called: on the event loop, in a thread, or in a child process."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable
from typing import Any

from crewline.errors import HandlerNotFound, InvalidPayload
from crewline.worker.handlers.exits import awaited
from crewline.worker.handlers.targets import Target, Targets
from crewline.worker.processes.answers import ChildUnavailable, Returned
from crewline.worker.processes.childless import Childless
from crewline.worker.processes.children import Children
from crewline.worker.processes.messages import Where
from crewline.worker.processes.specs import spec_of
from crewline.worker.runs.run import Run
from crewline.worker.runs.slots import Slots
from crewline.worker.runs.verdicts import NOT_BEGUN
from crewline.worker.threads.threads import Threads

log = logging.getLogger("crewline.worker")

#: Seconds until a job goes back for which there was no thread or child.
PAUSE_SECONDS = 1.0
#: Seconds between two lines of the log that say so.
REFUSED_SECONDS = 30.0


class Calling:
    """Calls handlers for one worker.

    Args:
        targets: the worker's handlers.
        slots: the worker's.
        where: the queue, for the connections of child processes.
        timeout_seconds: the longest that a call may take; None for no bound.

    Attributes:
        children: its child processes.
        childless: what no child can run.
    """

    def __init__(self, targets: Targets, slots: Slots, where: Where, timeout_seconds: float | None) -> None:
        self._slots = slots
        self._timeout_seconds = timeout_seconds
        self._threads = Threads(slots.concurrency)
        self.children = Children(where, slots.concurrency)
        self.childless = Childless()
        self._refused_at: float | None = None
        for target in targets.all():
            if target.execution == "process":
                spec_of(target.call)

    async def call(self, run: Run, target: Target) -> Any:
        """What the handler returns; raises what it raises, and what `Threads.run` and `Children.run` do."""
        if target.execution != "async":
            try:
                return await self._call_beside(run, target)
            except NOT_BEGUN as error:
                self._report_refused(error)
                # it would come back at once
                await asyncio.sleep(PAUSE_SECONDS)
                raise
        handling = target.call(*target.arguments(run.job))
        return await (handling if self._timeout_seconds is None else self._bounded(handling))

    async def call_alone(self, run: Run, target: Target) -> Returned:
        """The same in a child process that runs nothing else, whatever kind of handler it is."""
        try:
            value = await self.children.run(run.job, target, timeout=self._timeout_seconds, alone=True)
        except ChildUnavailable:
            if not self._slots.is_shut("stopping"):
                self.childless.unready(target.call)
                # it would come back at once
                await asyncio.sleep(PAUSE_SECONDS)
            raise
        except (HandlerNotFound, InvalidPayload):
            # no child was asked to run it
            raise
        except Exception:
            self.childless.ran(target.call)
            raise
        self.childless.ran(target.call)
        return value

    def resize(self, concurrency: int) -> None:
        self._threads.resize(concurrency)
        self.children.resize(concurrency)

    async def close(self) -> None:
        """Ends the processes and lets go of the threads; one that still runs a handler ends with this process."""
        self._threads.close()
        self.children.close()
        await self.children.wait_closed()

    async def _call_beside(self, run: Run, target: Target) -> Any:
        """In a child or a thread."""
        if target.execution == "process":
            return await self.children.run(run.job, target, timeout=self._timeout_seconds)
        run.stoppable = False
        try:
            value = await self._threads.run(run.job, target.call, target.arguments(run.job), self._timeout_seconds)
        finally:
            run.stoppable = True
        if not inspect.iscoroutine(value):
            return value
        # a plain function that calls an `async def` one and hands on what it gets
        if not run.open:
            # told to end while it was in its thread
            value.close()
            raise asyncio.CancelledError(run.reason)
        handling = awaited(value)
        return await (handling if self._timeout_seconds is None else self._bounded(handling))

    def _report_refused(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if self._refused_at is None or now - self._refused_at > REFUSED_SECONDS:
            log.error("this worker can begin nothing now: %s; its jobs wait, and are tried again", error)
            self._refused_at = now

    async def _bounded(self, handling: Awaitable[Any]) -> Any:
        deadline = asyncio.timeout(self._timeout_seconds)
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
        raise TimeoutError(f"timed out after {self._timeout_seconds:g} s")
