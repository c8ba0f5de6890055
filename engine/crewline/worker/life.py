"""A worker from its first duty to its end: what it does for as long as it lives, until it stops or can not go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any

from crewline.errors import CrewlineError
from crewline.wire.checks import check_seconds
from crewline.worker.calls.backlog import Backlog
from crewline.worker.calls.leases import LeaseKeeper
from crewline.worker.duties import supervised
from crewline.worker.handlers.forks import guard_loop
from crewline.worker.loopwatch import LoopWatch
from crewline.worker.runs.run import Status
from crewline.worker.runs.slots import Slots
from crewline.worker.stopping import Stop

log = logging.getLogger("crewline.worker")

#: Seconds that running jobs may go on where the worker ends because it can't work.
FAILED_GRACE_SECONDS = 5.0

Duties = Mapping[str, Callable[[], Awaitable[None]]]
#: Closes what a worker has opened, and ends these tasks.
LetGo = Callable[[Iterable[asyncio.Task[Any]]], Coroutine[Any, Any, None]]


class Life:
    """The life of one worker.

    Args:
        queue: the queue's name.
        slots, stop, leases, loop_watch, backlog: the worker's.
        grace_seconds: how long running jobs may go on once it is to end.
    """

    def __init__(
        self,
        queue: str,
        slots: Slots,
        stop: Stop,
        leases: LeaseKeeper,
        loop_watch: LoopWatch,
        backlog: Backlog,
        grace_seconds: float,
    ) -> None:
        self._queue = queue
        self._slots = slots
        self._stop = stop
        self._leases = leases
        self._loop_watch = loop_watch
        self._backlog = backlog
        self._grace_seconds = grace_seconds
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, duties_by_name: Duties, let_go: LetGo) -> None:
        """Does all that side by side until `end`; then stops, and lets go of what was opened, these tasks with it."""
        if self._loop is not None:
            raise CrewlineError(f"this worker of queue {self._queue} has run already: make another one")
        self._loop = asyncio.get_running_loop()
        guard_loop()
        self._loop_watch.begin()
        duties: list[asyncio.Task[None]] = []
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            # first: the system may have no thread to give
            self._leases.start()
            duties += [
                asyncio.create_task(supervised(name, duty), name=f"crewline-{name}")
                for name, duty in duties_by_name.items()
            ]
            done, _ = await asyncio.wait([*duties, stopping], return_when=asyncio.FIRST_COMPLETED)
            if stopping not in done:
                # a worker that looks alive but does nothing is worse than none
                log.error("the worker ends: one of its duties failed")
                self._slots.shut("stopping")
                self._grace_seconds = min(self._grace_seconds, FAILED_GRACE_SECONDS)
            await self._stop.drain(self._grace_seconds)
            for duty in done - {stopping}:
                duty.result()
        except asyncio.CancelledError:
            # whoever runs this worker has no time: what it has goes back all the same
            self._slots.shut("stopping")
            self._grace_seconds = 0
            await self._stop.drain(self._grace_seconds)
            raise
        finally:
            for run in self._slots.mine():
                run.end_early(Status.RETURNED)
            self._backlog.close()
            self._leases.stop()
            self._ended.set()
            await self._stop.close(let_go([*duties, stopping]))

    def end(self, grace_seconds: float | None) -> None:
        """It is to stop; see `Worker.stop`."""
        if grace_seconds is not None:
            self._grace_seconds = check_seconds(grace_seconds, "grace_seconds")
            self._stop.shorten(self._grace_seconds)
        self._slots.shut("stopping")
        self._stopping.set()

    async def wait_for(self, event: asyncio.Event) -> None:
        """Returns once that has come, or the worker has ended."""
        ways = [asyncio.ensure_future(each.wait()) for each in (event, self._ended)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()

    def call_in_loop(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Calls that in the worker's loop, from any thread; nothing where it has none, or none any more."""
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback, *arguments)
