"""A worker's own events, for the program it runs in."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Any

from crewline.errors import InvalidOption
from crewline.queue.job import Job
from crewline.redis.scripts import Result
from crewline.wire.checks import check_callable, check_choice

log = logging.getLogger("crewline.worker")

#: What a listener can ask for, and what it is called with.
EVENTS = {
    "ready": "()",
    "active": "(job)",
    "completed": "(job)",
    "retrying": "(job, reason)",
    "failed": "(job, reason)",
    "lost": "(job)",
    "stopping": "()",
}


class Listeners:
    """Callbacks by event."""

    def __init__(self) -> None:
        self._by_event: dict[str, list[Callable[..., None]]] = {}

    def add(self, event: str, callback: Callable[..., None]) -> None:
        check_choice(event, "worker event", EVENTS)
        check_callable(callback, f"the listener for {event!r}")
        if inspect.iscoroutinefunction(callback):
            raise InvalidOption(
                f"a listener for {event!r} is called and not awaited: pass a plain function, which may start a task"
            )
        self._by_event.setdefault(event, []).append(callback)

    def emit(self, event: str, *arguments: Any) -> None:
        """Calls the listeners; one that raises is logged and holds up nobody."""
        for callback in self._by_event.get(event, ()):
            try:
                callback(*arguments)
            except BaseException:
                # a sys.exit(), too: how a job ended is not for a listener to change
                log.exception("a listener for %r raised", event)

    def lost(self, job: Job) -> None:
        self.emit("lost", job)

    def ended(self, job: Job, result: Result) -> None:
        if not self._by_event:
            return
        if result.outcome == "completed":
            self.emit("completed", job)
        elif result.outcome in ("failed", "retry"):
            self.emit("failed" if result.outcome == "failed" else "retrying", job, result.value)
