"""What no child process can run at present, although a handler's module may say that one can.

None of that is so for good: a module may need something at its import that is away for a moment, a machine may be short
of memory after a crash, and what was given to a job here may be another thing next time. All is tried again after a
while.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from crewline.queue.job import Job

#: Seconds for which there may be no child for a handler before its suspects run in the worker itself, and before the
#: attempts of those jobs are used up that need one ...
UNREADY_SECONDS = 30.0
#: ... and for how many that is so then.
AGAIN_SECONDS = 300.0
#: Seconds after which a child that was not ready tells nothing of now: more than each that follows it may take.
FORGOTTEN_SECONDS = 180.0

Handler = Callable[..., Any]


class Childless:
    """The handlers, and jobs, of one worker that have no child."""

    def __init__(self) -> None:
        #: by handler, or by a job's id
        self._until: dict[Handler | str, float] = {}
        #: since when a handler has had none, and when that was seen last
        self._unready: dict[Handler, tuple[float, float]] = {}

    def has_none(self, call: Handler, job: Job | None = None) -> bool:
        """Whether no child can run this job with this handler, or any job."""
        until = self._until.get(call, 0.0)
        if job is not None:
            until = max(until, self._until.get(job.id, 0.0))
        return until > time.monotonic()

    def unable(self, call: Handler) -> None:
        """No child can import it."""
        self._out(call)

    def unsendable(self, job: Job) -> None:
        """It can't be sent to a child."""
        self._out(job.id)

    def unready(self, call: Handler) -> None:
        """There was no child for it just now."""
        now = time.monotonic()
        since, seen = self._unready.get(call, (now, now))
        if now - seen > FORGOTTEN_SECONDS:
            since = now
        self._unready[call] = since, now
        if now - since >= UNREADY_SECONDS:
            del self._unready[call]
            self._out(call)

    def ran(self, call: Handler) -> None:
        """A child has run it."""
        self._unready.pop(call, None)
        self._until.pop(call, None)

    def _out(self, what: Handler | str) -> None:
        now = time.monotonic()
        self._until = {key: until for key, until in self._until.items() if until > now}
        self._until[what] = now + AGAIN_SECONDS
