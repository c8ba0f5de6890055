"""The slots that calls are promised: reserved when a call leaves, filled by what it brings, or free again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from crewline.redis.scripts import Fetched
from crewline.worker.calls.backlog import Backlog
from crewline.worker.calls.call import Call
from crewline.worker.runs.slots import Slots


class Reservations:
    """Those of one worker's calls.

    Args:
        slots, backlog: the worker's.
        leases: what the tokens of its leases begin with.
        room_for_suspects: how many suspects it can take.
    """

    def __init__(self, slots: Slots, backlog: Backlog, leases: str, room_for_suspects: Callable[[], int]) -> None:
        self._slots = slots
        self._backlog = backlog
        self._room_for_suspects = room_for_suspects
        self._tokens = (f"{leases}:{n}" for n in itertools.count(1))

    def make(self, room: int, **told: Any) -> Call:
        """A call for which so many slots are reserved, or as many as are free."""
        reserved = self._slots.reserve(room, self._room_for_suspects())
        return Call(next(self._tokens), *reserved, self._slots.wakes, **told)

    def fill(self, call: Call, fetched: Fetched) -> None:
        """What came for the slots that were asked for has begun: the rest of them are free again."""
        if call.room:
            if len(fetched.jobs) < call.room and not fetched.more:
                if fetched.next_due_ms:
                    self._backlog.expect_due(fetched.next_due_ms)
                if fetched.limited_ms:
                    self._backlog.expect_limit(fetched.limited_ms)
                self._slots.cool(call.wakes)
            else:
                self._slots.hot = True
        self.release(call)

    def release(self, call: Call) -> None:
        """Frees what a call still has reserved."""
        room, suspects, call.room, call.suspects = call.room, call.suspects, 0, 0
        self._slots.release(room, suspects)
