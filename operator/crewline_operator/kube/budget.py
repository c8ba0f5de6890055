"""How many statuses are written a second, and whose turn it is.

A thousand busy queues move their numbers each second, and a Redis that goes takes as many with it at once: whatever
happens, the API server and all who watch our objects get no more than the budget. What a person or a controller acts
upon goes first, in the order in which it came; then the numbers that are oldest. Nobody waits for a turn: an object
that has none is looked at again when it has, and then writes what is true by then.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crewline_operator.model.key import Key
from crewline_operator.model.urgency import Urgency

#: What is saved up in quiet times, in seconds of the budget.
BURST_SECONDS = 1.0


class WriteBudget:
    """A token bucket with a queue in order of urgency."""

    def __init__(
        self, per_second: float, call_again: Callable[[Key], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_second = per_second
        self._most = max(1.0, per_second * BURST_SECONDS)
        self._call_again = call_again
        self._clock = clock
        self._tokens = self._most
        self._counted_at = clock()
        #: Who waits, and its entry in the heap; an older entry of a key counts no more.
        self._waiting: dict[Key, tuple[int, float, int, Key]] = {}
        self._heap: list[tuple[int, float, int, Key]] = []
        self._sequence = 0
        #: Whose turn it is, and which one: a write of each is paid for.
        self._called: dict[Key, int] = {}
        self._has_waiting = asyncio.Event()

    def take(self, key: Key, urgency: Urgency, written_at: float | None) -> bool:
        """Whether `key` may write now; else it is called again. `written_at` is when it was written last, if ever."""
        self._refill()
        if self._called.pop(key, None) is not None:
            pass
        elif urgency is Urgency.NOW:
            self._tokens = max(self._tokens - 1, -self._most)
        elif self._tokens >= 1 and not self._has_before(urgency):
            self._tokens -= 1
        else:
            self._wait(key, urgency, written_at)
            return False
        self._waiting.pop(key, None)
        return True

    @contextmanager
    def turn(self, key: Key) -> Iterator[None]:
        """While `key` is looked at: if it was called before and does not write now, its turn is another's.

        It had nothing to write any more, or has failed. However long it took until it was looked at, it was called for
        its place in the order, and keeps that; to be called while it is looked at already is for the next look.
        """
        called = self._called.get(key)
        try:
            yield
        finally:
            if called is not None and self._called.get(key) == called:
                self._called.pop(key)
                self._tokens += 1

    def forget(self, key: Key) -> None:
        """An object is gone."""
        self._called.pop(key, None)
        self._waiting.pop(key, None)

    def call(self) -> float | None:
        """Call those whose turn it is; seconds until the next turn, None if nobody waits."""
        self._refill()
        while self._waiting:
            if self._tokens < 1:
                return (1 - self._tokens) / self._per_second
            entry = heapq.heappop(self._heap)
            key = entry[-1]
            if self._waiting.get(key) != entry:
                continue
            del self._waiting[key]
            self._tokens -= 1
            self._sequence += 1
            self._called[key] = self._sequence
            self._call_again(key)
        self._heap.clear()
        return None

    async def run(self) -> None:
        """Call those whose turn it is, until cancelled."""
        while True:
            self._has_waiting.clear()
            seconds = self.call()
            if seconds is None:
                await self._has_waiting.wait()
            else:
                await asyncio.sleep(seconds)

    def _has_before(self, urgency: Urgency) -> bool:
        while self._heap and self._waiting.get(self._heap[0][-1]) != self._heap[0]:
            heapq.heappop(self._heap)
        return bool(self._heap) and self._heap[0][0] <= urgency

    def _wait(self, key: Key, urgency: Urgency, written_at: float | None) -> None:
        earlier = self._waiting.get(key)
        if earlier is not None and earlier[0] <= urgency:
            return
        self._sequence += 1
        age = (-math.inf if written_at is None else written_at) if urgency is Urgency.NUMBERS else 0.0
        self._waiting[key] = (urgency, age, self._sequence, key)
        heapq.heappush(self._heap, self._waiting[key])
        self._has_waiting.set()

    def _refill(self) -> None:
        now = self._clock()
        self._tokens += (now - self._counted_at) * self._per_second
        self._counted_at = now
        self._tokens = min(self._most, self._tokens)
