"""Tells of an event loop that stands still: a handler which never gives it back would else be kept alive in silence.

The leases are renewed by a thread, so that a handler may hold the loop for a while. Nothing on the loop can tell of
one that holds it for good, nor end it when its time is over: this is asked by that thread.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback

log = logging.getLogger("crewline.worker")

#: Seconds between two looks at most, however long the leases are.
LOOK_SECONDS = 1.0
#: Seconds that the loop stands still before that is told, and between two times that it is.
TELL_SECONDS, AGAIN_SECONDS = 5.0, 60.0
#: Looks that have to find it so before runs are given up: a whole process that was stopped finds its loop late once.
LOOKS = 3


class LoopWatch:
    """Watches one worker's event loop.

    Args:
        queue: its name, for the log.
        timeout_seconds: the longest that a run may take; None for no bound.
        lease_seconds: the length of a lease: how much longer a run may take to end.

    Attributes:
        look_seconds: how long between two looks at most.
    """

    def __init__(self, queue: str, timeout_seconds: float | None, lease_seconds: float) -> None:
        self.look_seconds = LOOK_SECONDS
        self._queue = queue
        self._lease_seconds = lease_seconds
        self.bound(timeout_seconds)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._asked: float | None = None
        self._told: float | None = None
        self._looks = 0
        self._over = False

    def bound(self, timeout_seconds: float | None) -> None:
        """Sets the longest that a run may take; for one that holds the loop now, since all others wait for it, too."""
        self._bound = None if timeout_seconds is None else timeout_seconds + self._lease_seconds

    def begin(self) -> None:
        """Watches the loop that runs here."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    @property
    def held(self) -> bool:
        """Whether the loop has not answered for a while."""
        asked = self._asked
        return asked is not None and time.monotonic() - asked > TELL_SECONDS

    @property
    def over(self) -> bool:
        """Whether what holds the loop has done so beyond its time."""
        return self._over and self._asked is not None

    def gives_up(self) -> bool:
        """Whether what runs has held the loop beyond its time, so that its leases are to end; asked now and then.

        Other workers run these jobs then, alone in processes that a timeout can end.
        """
        if self._loop is None or self._loop.is_closed():
            return False
        # the loop may answer at any moment, and take both back
        now, asked, told = time.monotonic(), self._asked, self._told
        if asked is None:
            self._ask(now)
            return False
        held = now - asked
        self._looks += 1
        bound = self._bound
        over = bound is not None and held > bound and self._looks >= LOOKS
        news = told is None or over != self._over or now - told >= AGAIN_SECONDS
        self._over = over
        if held >= TELL_SECONDS and news:
            self._told = now
            self._tell(held, over)
        return over

    def _ask(self, now: float) -> None:
        assert self._loop
        self._asked, self._looks = now, 0
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            # closed meanwhile
            self._asked = None

    def _answer(self) -> None:
        if self._told is not None:
            log.warning("the event loop of the worker of queue %s goes on", self._queue)
        self._asked = self._told = None

    def _tell(self, held: float, over: bool) -> None:
        frame = sys._current_frames().get(self._thread)
        where = "".join(traceback.format_stack(frame)[-8:]) if frame else "(its thread has ended)"
        log.error(
            "the event loop of the worker of queue %s has stood still for %.0f s: what runs there does not give it "
            "back, and all other jobs of the worker wait%s. It is here:\n%s",
            self._queue, held, "; its time is over: the leases are renewed no more" if over else "", where,
        )  # fmt: skip
