"""When something in the queue will be runnable, as far as Redis has told this worker."""

from __future__ import annotations

import asyncio

from crewline.worker.runs.slots import Slots

#: Seconds of the longest timer: event loops refuse timers of a million years.
MOST_SECONDS = 86400.0


class Backlog:
    """Wakes the worker when a delayed job is due or a rate limit ends: one timer each, the earliest.

    Timers here, since Redis ends blocked reads only ten times a second.
    """

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        #: How far Redis' clock is before the loop's, at least.
        self._offset_ms = 0.0
        #: When each is due by the loop's clock, and what ends it. uvloop's handle of one that is due at once has no
        #: `when`.
        self._timers: dict[str, tuple[float, asyncio.Handle]] = {}

    def heard(self, now_ms: int, left: float) -> None:
        """Redis has told its time, in the answer to what was sent at ``left`` by the loop's clock.

        An answer that is read late, since a handler blocked the loop, tells less than the ones before it. Only where
        Redis' clock was set back they can't be true any more: it was read after the question left.
        """
        least_ms = now_ms - asyncio.get_running_loop().time() * 1000
        if least_ms > self._offset_ms or self._offset_ms > now_ms + 1 - left * 1000:
            self._offset_ms = least_ms

    def redis_now_ms(self) -> float:
        """Now by Redis' clock, as near as its answers told."""
        return asyncio.get_running_loop().time() * 1000 + self._offset_ms

    def expect_due(self, due_ms: int) -> None:
        """A delayed job is due at ``due_ms`` by Redis' clock."""
        self._wake_in("due", due_ms - self.redis_now_ms() + 1)

    def expect_limit(self, limited_ms: int) -> None:
        """The queue's rate limit holds for so many milliseconds."""
        self._wake_in("limit", limited_ms)

    def close(self) -> None:
        for _, timer in self._timers.values():
            timer.cancel()

    def _wake_in(self, what: str, wait_ms: float) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + min(max(wait_ms, 1) / 1000, MOST_SECONDS)
        known = self._timers.get(what)
        if known is not None:
            if known[0] <= at:
                return
            known[1].cancel()
        self._timers[what] = at, loop.call_at(at, self._wake, what)

    def _wake(self, what: str) -> None:
        del self._timers[what]
        self._slots.wake()
