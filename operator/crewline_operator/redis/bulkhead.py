"""So that a Redis that is slow holds up its own queues only: few reconciles may be at one Redis at a time.

Without this as many as there are reconcilers hang on one that does not answer, and nobody's objects are looked at
meanwhile. A reconcile that finds no room gives way, and its object is looked at again once there is some.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from crewline_operator.model.key import Key
from crewline_operator.redis.endpoint import Endpoint


class Busy(Exception):
    """As many reconciles are at a Redis as may be; the object is looked at again when one of them has left."""


class Bulkheads:
    """Who is at which Redis, and who waits for room there."""

    def __init__(self, on_room: Callable[[Key], None], at_once: int) -> None:
        self._on_room = on_room
        self._at_once = at_once
        self._inside: defaultdict[Endpoint, int] = defaultdict(int)
        #: In the order in which they came.
        self._waiting: dict[Endpoint, dict[Key, None]] = {}

    @contextmanager
    def enter(self, endpoint: Endpoint, key: Key) -> Iterator[None]:
        """Be at a Redis for `key`. Raises Busy."""
        if self._inside.get(endpoint, 0) >= self._at_once:
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
        first = next(iter(waiting))
        del waiting[first]
        if not waiting:
            del self._waiting[endpoint]
        self._on_room(first)
