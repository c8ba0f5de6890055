"""Whether Redis takes this worker's calls, how far it is away, and who is told of both."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from crewline.redis.connection import redact

log = logging.getLogger("crewline.worker")

#: Calls in flight: one that Redis works on, one that waits for it, ...
CALLS = 2
#: ... and one more for each millisecond that Redis is away, up to so many.
CALLS_FAR = 6


class Reach:
    """How one worker reaches Redis.

    Args:
        url: of that Redis.
        on_reached: called once Redis has answered for the first time.

    Attributes:
        reached: set from then on.
        tried: when a call was answered last, or was not, by the monotonic clock.
    """

    def __init__(self, url: str, on_reached: Callable[[], None]) -> None:
        self._url = url
        self._on_reached = on_reached
        # those that were not answered last; one that only reads may be where another is refused
        self._failing: set[object] = set()
        self._away_ms = 0.0
        self._moved = asyncio.Event()
        self.reached = asyncio.Event()
        self.tried = time.monotonic()

    async def wants(self, index: int) -> None:
        """Returns while so many calls, counted from 0, should be in flight beside this one."""
        while index >= CALLS + self._away_ms:
            await self._moved.wait()

    def answered(self, call: object) -> None:
        """Redis has carried the call out."""
        self.heard(call)
        if not self.reached.is_set():
            self.reached.set()
            self._on_reached()

    def heard(self, call: object) -> None:
        """Redis has answered, if only on what is asked before the first call."""
        self.tried = time.monotonic()
        if call in self._failing:
            self._failing.remove(call)
            if not self._failing:
                log.info("Redis at %s answers again", redact(self._url))

    def failed(self, call: object, error: Exception, held: int) -> None:
        """Redis did not take the call; ``held`` results wait for it. Said once, until it takes all calls again."""
        self.tried = time.monotonic()
        if not self._failing:
            log.error(
                "Redis at %s does not take our calls (%s: %s): holding %d results, trying again",
                redact(self._url), type(error).__name__, error, held,
            )  # fmt: skip
        self._failing.add(call)

    def given_up(self, call: object) -> None:
        """The call is made no more."""
        self._failing.discard(call)

    def measure(self, call_ms: float) -> None:
        """Takes note of how long a call took; the shortest of some thousand tells how far Redis is."""
        before, known = self._away_ms, self._away_ms or call_ms
        self._away_ms = min(call_ms, known + (call_ms - known) / 1000)
        if int(before) != int(self._away_ms):
            # wakes those that wait now, for more or fewer calls
            self._moved.set()
            self._moved.clear()
