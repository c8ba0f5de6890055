"""Whether a worker lives: its fetch loop tries Redis as often as it should, whether Redis answers or not.

A process may live although nothing in it fetches any more; nobody heals that but whoever looks from outside. A Redis
that is away is no reason to end a worker: it tries, and goes on once Redis is back. Nor is a handler that holds the
event loop within its time: it is at work.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from crewline.worker.calls.reach import Reach
from crewline.worker.loopwatch import LoopWatch
from crewline.worker.runs.slots import Slots

#: A worker that has room tries Redis at least this often, by a wide margin: a read blocks for 5 s at most, a call may
#: take 10 s, and a pause between two that fail is of 5 s.
MOST_SECONDS = 90.0


class Liveness:
    """Asked from another thread, which the event loop can't hold up.

    Args:
        slots, reach, loop_watch: the worker's.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, slots: Slots, reach: Reach, loop_watch: LoopWatch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._slots = slots
        self._reach = reach
        self._loop_watch = loop_watch
        self._clock = clock
        self._began = clock()

    def trouble(self) -> str:
        """What keeps the worker from its work, '' if nothing does."""
        if self._loop_watch.over:
            return "what runs holds the event loop beyond its time"
        if self._slots.is_shut() or len(self._slots.runs) >= self._slots.concurrency or self._loop_watch.held:
            # it has nothing to fetch, or is held up by what it runs
            self._began = self._clock()
            return ""
        still = self._clock() - max(self._reach.tried, self._began)
        return f"it has room for jobs, and has not tried Redis for {still:.0f} s" if still > MOST_SECONDS else ""
