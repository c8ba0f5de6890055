"""The blocked reads of a Redis: one where it is one server, one for each slot of a cluster that has queues.

A read can't span the slots of a cluster. With one hash tag for all queues (`{bull}`) they share a slot, and a read.
Where each has a tag of its own, those of SLOTS_MAX slots are waited for and the others are polled: never a connection
for each queue.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from crewline.redis.topology import is_cluster
from redis.crc import key_slot

from crewline_operator.model.key import Key
from crewline_operator.redis.wake import ReadNow, WakeReader
from crewline_operator.redis.watched import Watched

SLOTS_MAX = 4


@dataclass(frozen=True)
class _Group:
    watched: Watched
    reader: WakeReader
    keys: set[Key] = field(default_factory=set)


class Wakes:
    """The queues of a Redis that sleep, and what wakes them."""

    def __init__(self, url: str, shown: str, read_now: ReadNow) -> None:
        self._url = url
        self._shown = shown
        self._read_now = read_now
        self._is_cluster = is_cluster(url)
        self._groups: dict[int, _Group] = {}
        self._group_of: dict[Key, int] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    def sleep(self, key: Key, stream: str) -> None:
        """A queue sleeps: it is waited for once it has been read, if there is room."""
        self.rouse(key)
        slot = key_slot(stream.encode()) if self._is_cluster else 0
        if slot not in self._groups:
            if len(self._groups) >= SLOTS_MAX:
                return
            watched = Watched(time.monotonic)
            self._groups[slot] = _Group(watched, WakeReader(self._url, self._shown, watched, self._read_now))
            self._groups[slot].reader.start()
        self._group_of[key] = slot
        self._groups[slot].keys.add(key)
        self._groups[slot].watched.sleep(key, stream)

    def rouse(self, key: Key) -> None:
        """A queue sleeps no more, or is gone."""
        slot = self._group_of.pop(key, None)
        if slot is None:
            return
        group = self._groups[slot]
        group.watched.rouse(key)
        group.keys.discard(key)
        if self._is_cluster and not group.keys:
            # another slot may need its place
            task = asyncio.create_task(self._groups.pop(slot).reader.stop(), name=f"stop wake {self._shown}")
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    def was_read(self, key: Key, position: str | None) -> None:
        """A queue was read; None if that does not tell from where to wait for it."""
        group = self._find(key)
        if group is not None:
            group.watched.was_read(key, position)

    def waits_for(self, key: Key) -> bool:
        """Whether what is added to a queue is seen without polling it."""
        group = self._find(key)
        return group is not None and group.watched.waits_for(key)

    def look(self) -> None:
        """There may be more to wait for."""
        for group in self._groups.values():
            group.reader.look()

    async def stop(self) -> None:
        await asyncio.gather(*(group.reader.stop() for group in self._groups.values()), *self._stopping)
        self._groups.clear()
        self._group_of.clear()

    def _find(self, key: Key) -> _Group | None:
        slot = self._group_of.get(key)
        return None if slot is None else self._groups[slot]
