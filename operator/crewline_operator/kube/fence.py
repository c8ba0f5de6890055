"""Until when this process may write: no call to the API server or to Redis outlives the lease that it is made under.

A process that was stopped for a while, or whose renewals get no answer, does not know that another one leads by now. So
whoever writes asks here right before, and a call that is under way is cut off when the lease is over, not later: it is
given longer whenever the lease is renewed. What a server has got by then it may still carry out; that is what the time
between the deadline of renewals and the end of the lease is for.

The clock goes on while the machine sleeps, which the monotonic one does not everywhere.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class NotLeading(Exception):
    """The lease is not held any more, or not yet: nothing may be written."""

    def __init__(self) -> None:
        super().__init__("this process does not hold the operator's lease: it writes nothing")


def elapsed() -> float:
    """Seconds since some moment, those in which the machine slept included; no date moves it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Fence:
    """Open until a moment of its clock; closed at first."""

    def __init__(self, clock: Callable[[], float] = elapsed) -> None:
        self._clock = clock
        self._until = -math.inf
        #: Calls under way, and when each has had its own time, by the loop's clock.
        self._limits: dict[asyncio.Timeout, float] = {}

    @classmethod
    def always_open(cls) -> Fence:
        """For what needs no lease: the calls for the lease itself, and an operator that is surely alone."""
        fence = cls()
        fence.extend(math.inf)
        return fence

    @property
    def is_open(self) -> bool:
        """Whether the lease is held now."""
        return self._clock() < self._until

    def extend(self, until: float) -> None:
        """The lease is held until then."""
        self._until = until
        for limit, ends in self._limits.items():
            if not limit.expired():
                limit.reschedule(self._limit(ends))

    def close(self) -> None:
        """The lease is held no more: calls under way end now."""
        self.extend(-math.inf)

    def check(self) -> None:
        """Raises NotLeading."""
        if not self.is_open:
            raise NotLeading

    @asynccontextmanager
    async def within(self, seconds: float = math.inf) -> AsyncIterator[None]:
        """Time to write: so many seconds, and not beyond the lease. Raises NotLeading and TimeoutError."""
        self.check()
        ends = asyncio.get_running_loop().time() + seconds
        async with asyncio.timeout_at(self._limit(ends)) as limit:
            self._limits[limit] = ends
            try:
                yield
            finally:
                del self._limits[limit]

    def _limit(self, ends: float) -> float | None:
        """When a call that has time until then is cut off, by the loop's clock, as far as is known now."""
        closes = asyncio.get_running_loop().time() + self._until - self._clock()
        at = min(ends, closes)
        return None if at == math.inf else at
