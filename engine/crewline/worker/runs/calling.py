"""Where a handler is called: on the event loop, in a thread, or in a child process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any

from crewline.errors import HandlerNotFound, InvalidPayload
from crewline.worker.handlers.targets import Target, Targets
from crewline.worker.processes.answers import ChildRefused, ChildUnavailable, NeverReady, Returned
from crewline.worker.processes.childless import Childless
from crewline.worker.processes.children import Children
from crewline.worker.processes.messages import Where
from crewline.worker.processes.specs import spec_of
from crewline.worker.runs.run import Run
from crewline.worker.runs.slots import Slots
from crewline.worker.threads.pool import NoThread
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
        timeout_seconds: the longest that a call may take that begins from now on; None for no bound.

    Attributes:
        timeout_seconds: the same, which may change.
        children: its child processes.
        childless: what no child can run.
    """

    def __init__(self, targets: Targets, slots: Slots, where: Where, timeout_seconds: float | None) -> None:
        self._slots = slots
        self.timeout_seconds = timeout_seconds
        self._threads = Threads(slots.concurrency)
        self.children = Children(where, slots.concurrency)
        self.childless = Childless()
        self._refused_at: float | None = None
        for target in targets.all():
            if target.execution == "process":
                spec_of(target.call)

    async def call(self, run: Run, target: Target) -> Any:
        """What the handler returns; raises what it raises, and what `Threads.run` and `Children.run` do."""
        if target.execution == "thread":
            return await self._call_in_thread(run, target)
        if target.execution == "process":
            return await self._call_in_child(run, target)
        bound = self.timeout_seconds
        return await self._bounded(target.call(*target.arguments(run.job)), bound, bound)

    async def call_alone(self, run: Run, target: Target) -> Returned:
        """The same in a child process that runs nothing else, whatever kind of handler it is."""
        return await self._call_in_child(run, target, alone=True)

    def resize(self, concurrency: int) -> None:
        self._threads.resize(concurrency)
        self.children.resize(concurrency)

    async def close(self) -> None:
        """Ends the processes and lets go of the threads; one that still runs a handler ends with this process."""
        self._threads.close()
        self.children.close()
        await self.children.wait_closed()

    async def _call_in_child(self, run: Run, target: Target, *, alone: bool = False) -> Returned:
        try:
            value = await self.children.run(run.job, target, timeout=self.timeout_seconds, alone=alone)
        except ChildUnavailable as error:
            if self._slots.is_shut("stopping"):
                raise
            refused = isinstance(error, ChildRefused)
            if alone or not refused:
                self.childless.unready(target.call)
            if not alone and not refused and self.childless.has_none(target.call):
                raise NeverReady(str(error)) from error
            if not alone:
                self._report_refused(error)
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

    async def _call_in_thread(self, run: Run, target: Target) -> Any:
        arguments, bound = target.arguments(run.job), self.timeout_seconds
        run.stoppable = False
        try:
            value, taken = await self._threads.run(run.job, target.call, arguments, bound)
        except NoThread as error:
            self._report_refused(error)
            await asyncio.sleep(PAUSE_SECONDS)
            raise
        if not asyncio.iscoroutine(value):
            return value
        # a plain function that calls an `async def` one and hands on what it gets: from here on it is such a handler
        if not run.open:
            value.close()
            raise asyncio.CancelledError(run.reason)
        run.stoppable = True
        return await self._bounded(value, None if bound is None else bound - taken, bound)

    def _report_refused(self, error: Exception) -> None:
        now = asyncio.get_running_loop().time()
        if self._refused_at is None or now - self._refused_at > REFUSED_SECONDS:
            log.error("this worker can begin nothing now: %s; its jobs wait, and are tried again", error)
            self._refused_at = now

    async def _bounded(self, handling: Awaitable[Any], seconds: float | None, bound: float | None) -> Any:
        """What an ``async def`` handler returns within so many seconds, which are what is left of its ``bound``."""
        if seconds is None:
            return await handling
        deadline = asyncio.timeout(seconds)
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
        raise TimeoutError(f"timed out after {bound:g} s")
