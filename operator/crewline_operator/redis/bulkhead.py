"""So that a Redis that is slow holds up its own queues only: few reconciles may be at one Redis at a time.

Without this as many as there are reconcilers hang on one that does not answer, and nobody's objects are looked at
meanwhile. A reconcile that finds no room gives way, and its object is looked at again once there is some. What can wait
never has the last place, so that what dead workers ran, claims and drains need not wait for it; what dead workers ran
comes first.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crewline_operator.model.key import Key
from crewline_operator.redis.endpoint import Endpoint

#: One that was called and has not come by then had nothing to do there any more: the next one is called.
NEXT_SECONDS = 1.0
#: For pods what their dead workers ran is handed back.
FIRST_KIND = "Pod"


def _later(seconds: float, do: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, do)


class Busy(Exception):
    """As many reconciles are at a Redis as may be; the object is looked at again when one of them has left."""


class Bulkheads:
    """Who is at which Redis, and who waits for room there."""

    def __init__(
        self,
        on_room: Callable[[Key], None],
        at_once: int,
        later: Callable[[float, Callable[[], None]], None] = _later,
    ) -> None:
        self._on_room = on_room
        self._at_once = at_once
        self._later = later
        self._inside: defaultdict[Endpoint, int] = defaultdict(int)
        #: In the order in which they came.
        self._waiting: dict[Endpoint, dict[Key, None]] = {}
        #: Where somebody was called, and others wait: whether there is room still is looked at in a while.
        self._looks: set[Endpoint] = set()

    @contextmanager
    def enter(self, endpoint: Endpoint, key: Key, *, can_wait: bool = False) -> Iterator[None]:
        """Be at a Redis for `key`. Raises Busy."""
        room = max(1, self._at_once - 1) if can_wait else self._at_once
        if self._inside.get(endpoint, 0) >= room:
            self._waiting.setdefault(endpoint, {})[key] = None
            raise Busy(f"{self._at_once} reconciles are at Redis {endpoint.shown} already")
        self._inside[endpoint] += 1
        try:
            yield
        finally:
            self._inside[endpoint] -= 1
            if not self._inside[endpoint]:
                del self._inside[endpoint]
            self._let_in(endpoint)

    def _let_in(self, endpoint: Endpoint) -> None:
        waiting = self._waiting.get(endpoint)
        if not waiting:
            return
        first = next((key for key in waiting if key.kind == FIRST_KIND), None) or next(iter(waiting))
        del waiting[first]
        if not waiting:
            del self._waiting[endpoint]
        elif endpoint not in self._looks:
            self._looks.add(endpoint)
            self._later(NEXT_SECONDS, lambda: self._look(endpoint))
        self._on_room(first)

    def _look(self, endpoint: Endpoint) -> None:
        self._looks.discard(endpoint)
        if self._inside.get(endpoint, 0) < self._at_once:
            self._let_in(endpoint)
