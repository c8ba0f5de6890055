"""Nothing waits while a worker is free: what each worker has been told, and what Redis holds to tell.

A worker without work waits for the marker. Whoever takes it away knows what it said, and nobody else will: it is
awake until it fetches. A fetch tells when the next delayed job is due, or how long a rate limit holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.redis.model.picture import Picture, QueuePicture
from tests.redis.model.runs import Asked


@dataclass
class Told:
    """What a worker knows of one queue: that there may be work, and when a delayed job is due (epoch ms)."""

    awake: bool = False
    due_ms: int | None = None

    def fetched(self, asked: Asked) -> None:
        if asked.room <= 0:
            return
        # it fetches again once it has room for suspects
        self.awake = asked.told_to_come_again or bool(asked.passed()) or asked.fetched.limited_ms > 0
        if self.due_ms is not None and self.due_ms <= asked.fetched.now_ms:
            self.due_ms = None
        due = asked.fetched.next_due_ms
        if due and (self.due_ms is None or due < self.due_ms):
            self.due_ms = due


class Notices:
    """What the workers know, by queue."""

    def __init__(self) -> None:
        self._told: dict[tuple[int, str], Told] = {}

    def of(self, worker: int, queue: str) -> Told:
        return self._told.setdefault((worker, queue), Told())

    def took_marker(self, worker: int, queue: str, member: str, score_ms: int, now_ms: int) -> None:
        told = self.of(worker, queue)
        if member == "0" or score_ms <= now_ms:
            told.awake = True
        elif told.due_ms is None or score_ms < told.due_ms:
            told.due_ms = score_ms

    def wrong(self, now: Picture, asked: list[Asked]) -> Iterator[tuple[str, str]]:
        """What waits although a worker is free."""
        for each in asked:
            self.of(each.worker, each.queue).fetched(each)
            yield from _left(each.after.queues[each.queue], each)
        for queue in now.queues.values():
            if queue.paused:
                continue
            told = [known for (_, name), known in self._told.items() if name == queue.name]
            awake = any(known.awake for known in told)
            marker = queue.plain.get("marker", {})
            yield from self._runnable(queue, marker, awake)
            yield from self._delayed(queue, marker, awake, [known.due_ms for known in told if known.due_ms])

    @staticmethod
    def _runnable(queue: QueuePicture, marker: dict[str, float], awake: bool) -> Iterator[tuple[str, str]]:
        waiting = queue.within("wait", "paused", "prioritized")
        if waiting and not queue.at_concurrency and "0" not in marker and not awake:
            name = "whatever_waits_is_told_to_a_worker"
            yield name, f"{queue.name}: {waiting} could run, the marker is {marker}, no worker is awake"

    @staticmethod
    def _delayed(
        queue: QueuePicture, marker: dict[str, float], awake: bool, known: list[int]
    ) -> Iterator[tuple[str, str]]:
        head = queue.head_due()
        if head is None or awake or "0" in marker or marker.get("1", head + 1) <= head:
            return
        if not any(due <= head for due in known):
            name = "whatever_is_delayed_is_told_to_a_worker"
            yield name, f"{queue.name}: the first is due at {head}, the marker is {marker}, workers wait for {known}"


def _left(queue: QueuePicture, asked: Asked) -> Iterator[tuple[str, str]]:
    fetched = asked.fetched
    if len(fetched.jobs) >= asked.room or fetched.limited_ms or queue.paused or queue.at_concurrency:
        return
    if asked.told_to_come_again or (asked.allowed is not None and len(fetched.jobs) >= asked.allowed):
        return
    if left := set(asked.left()) - set(asked.passed()):
        name = "a_fetch_leaves_nothing_that_it_had_room_for"
        yield name, f"{queue.name}: room {asked.room}, got {len(fetched.jobs)}, left {left}"
