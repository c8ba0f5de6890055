"""Which queues are waited for by the blocked read of their event streams, and from which event on. Pure.

A queue is waited for from the last event that it had when its last read began, so that whatever was added since is in
that read or wakes it. What can't be waited for is not forgotten: `waits_for` says so, and then it is polled.

The same queue may be added to a thousand times a second and stay asleep, since it is paused, or its limits hold its
jobs back. So one that was woken is not waited for again at once, each time for longer, and then from where it was read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

from crewline_operator.model.key import Key

#: The position of a stream without events.
BEGINNING = "0-0"
#: How long one that was woken is not waited for; twice as long if it is woken again soon.
FIRST_HOLD_SECONDS = 0.05
#: One that is woken all the time is looked at this often.
HOLD_CAP_SECONDS = 1.0
#: One that can't be waited for is tried again after this.
REFUSED_SECONDS = 30.0


@dataclass
class _Sleeper:
    stream: str
    #: The last event when the last read began; None if it has to be read first.
    position: str | None = None
    #: Not before this.
    held_until: float = -math.inf
    hold_seconds: float = 0.0


class Watched:
    """The queues of a Redis that sleep."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._sleepers: dict[Key, _Sleeper] = {}
        self._up = False

    def sleep(self, key: Key, stream: str) -> None:
        """A queue sleeps: it is waited for once it has been read."""
        self._sleepers[key] = _Sleeper(stream)

    def rouse(self, key: Key) -> None:
        """A queue sleeps no more, or is gone."""
        self._sleepers.pop(key, None)

    def was_read(self, key: Key, position: str | None) -> None:
        """A queue was read; None if that does not tell from where to wait for it."""
        if key in self._sleepers:
            self._sleepers[key].position = position

    def streams(self) -> dict[str, str]:
        """What to wait for now: the streams, and from where."""
        now, streams = self._clock(), dict[str, str]()
        for sleeper in self._sleepers.values():
            if sleeper.position is not None and sleeper.held_until <= now:
                known = streams.get(sleeper.stream, sleeper.position)
                streams[sleeper.stream] = min(known, sleeper.position, key=_order)
        return streams

    def next_change_seconds(self) -> float | None:
        """When there will be more to wait for, if nobody says so before; None if there will not."""
        now = self._clock()
        held = [sleeper.held_until for sleeper in self._sleepers.values() if sleeper.held_until > now]
        return min(held) - now if held else None

    def woke(self, streams: Collection[str]) -> list[Key]:
        """There are events in these: the queues to read now."""
        now, woken = self._clock(), []
        for key, sleeper in self._sleepers.items():
            if sleeper.stream in streams and sleeper.position is not None and sleeper.held_until <= now:
                again = now - sleeper.held_until < 2 * HOLD_CAP_SECONDS
                longer = 2 * sleeper.hold_seconds if again else FIRST_HOLD_SECONDS
                sleeper.hold_seconds = min(longer, HOLD_CAP_SECONDS)
                sleeper.held_until = now + sleeper.hold_seconds
                sleeper.position = None
                woken.append(key)
        return woken

    def refuse(self, streams: Collection[str]) -> list[Key]:
        """These can't be read: the queues that are to be polled."""
        refused = [key for key, sleeper in self._sleepers.items() if sleeper.stream in streams]
        for key in refused:
            self._sleepers[key].held_until = self._clock() + REFUSED_SECONDS
            self._sleepers[key].hold_seconds = FIRST_HOLD_SECONDS
        return refused

    def stands(self) -> None:
        """The blocked read works."""
        self._up = True

    def lost(self) -> list[Key]:
        """The blocked read has failed, and Redis may have lost what it had: the queues that are to be polled."""
        self._up = False
        for sleeper in self._sleepers.values():
            sleeper.position = None
        return list(self._sleepers)

    @property
    def up(self) -> bool:
        """Whether the last blocked read worked."""
        return self._up

    def waits_for(self, key: Key) -> bool:
        """Whether what is added to a queue is seen without polling it."""
        sleeper = self._sleepers.get(key)
        return self._up and sleeper is not None and sleeper.position is not None and sleeper.held_until <= self._clock()


def _order(position: str) -> tuple[int, int]:
    milliseconds, _, number = position.partition("-")
    return int(milliseconds), int(number)
