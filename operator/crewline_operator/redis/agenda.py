"""When each queue of a Redis is read again. Pure: the caller has the clock.

Queues that are read as often as each other are read in one go: times are multiples of the interval. Only those that are
read seldom are spread over it, so that a thousand of them do not come at once.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Agenda(Generic[K]):
    """What is to be read at once, and what later. Each key is taken once for each time that it is put in."""

    def __init__(self) -> None:
        #: In the order in which they came.
        self._now: dict[K, None] = {}
        #: A key's entry in the heap counts only if its time is the one in here.
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0

    def add(self, key: K) -> None:
        """Read `key` before all that is only due."""
        self._due.pop(key, None)
        self._now[key] = None

    def plan(self, key: K, at: float) -> None:
        """Read `key` at a time, or earlier if that was asked for already."""
        if key in self._now or self._due.get(key, math.inf) <= at:
            return
        self._due[key] = at
        self._sequence += 1
        heapq.heappush(self._heap, (at, self._sequence, key))

    def drop(self, key: K) -> None:
        """Read `key` no more."""
        self._now.pop(key, None)
        self._due.pop(key, None)

    def take(self, now: float, most: int) -> list[K]:
        """What is to be read now, at most so many of them."""
        taken = list(self._now)[:most]
        for key in taken:
            del self._now[key]
        while len(taken) < most and (at := self._first()) is not None and at <= now:
            _, _, key = heapq.heappop(self._heap)
            del self._due[key]
            taken.append(key)
        return taken

    def next_at(self) -> float | None:
        """When there is something to take; None if nothing is planned."""
        return -math.inf if self._now else self._first()

    def _first(self) -> float | None:
        while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None


def next_turn(now: float, interval_seconds: float, phase_seconds: float = 0.0) -> float:
    """The first time after `now` that is a multiple of the interval, `phase_seconds` later."""
    turns = math.floor((now - phase_seconds) / interval_seconds) + 1
    return turns * interval_seconds + phase_seconds
