"""All Redis in use: a poller for each, and which of them a JobQueue is read by."""

from __future__ import annotations

import asyncio

from crewline.queue.queue import Queue

from crewline_operator.model.attention import Attention
from crewline_operator.model.key import Key
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.poller import OnChange, Poller
from crewline_operator.redis.reading import Reading, Target


class Pollers:
    """A poller lives as long as a JobQueue uses it."""

    def __init__(self, on_change: OnChange, interval_seconds: float) -> None:
        self._on_change = on_change
        self._interval_seconds = interval_seconds
        self._pollers: dict[Endpoint, Poller] = {}
        self._by_key: dict[Key, Poller] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    def watch(self, key: Key, endpoint: Endpoint, target: Target) -> Poller:
        """Have `target` of `endpoint` read for the JobQueue `key`."""
        poller = self._pollers.get(endpoint)
        if self._by_key.get(key) not in (None, poller):
            self.unwatch(key)
        if poller is None:
            poller = self._pollers[endpoint] = Poller(endpoint, self._on_change, self._interval_seconds)
            poller.start()
        self._by_key[key] = poller
        poller.watch(key, target)
        return poller

    def unwatch(self, key: Key) -> None:
        """Stop reading for `key`: it is gone, or its Redis is not known any more."""
        poller = self._by_key.pop(key, None)
        if poller is None:
            return
        poller.unwatch(key)
        if poller.empty:
            del self._pollers[poller.endpoint]
            task = asyncio.create_task(poller.stop(), name=f"stop poller {poller.endpoint.shown}")
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)

    def followed(self, key: Key) -> tuple[Endpoint, Target] | None:
        """What is read for the JobQueue `key`."""
        poller = self._by_key.get(key)
        target = poller.target(key) if poller is not None else None
        return (poller.endpoint, target) if poller is not None and target is not None else None

    def attend(self, key: Key, attention: Attention) -> None:
        """Look so closely at the queue of the JobQueue `key` from now on."""
        poller = self._by_key.get(key)
        if poller is not None:
            poller.attend(key, attention)

    def attention(self, key: Key) -> Attention:
        """How closely the queue of the JobQueue `key` is looked at."""
        poller = self._by_key.get(key)
        return poller.attention(key) if poller is not None else Attention.STEADY

    def reading(self, key: Key) -> Reading:
        """The last read for the JobQueue `key`; an empty one if there was none."""
        poller = self._by_key.get(key)
        return poller.reading(key) if poller is not None else Reading()

    def queue(self, ref: QueueRef) -> Queue | None:
        """A queue, on the connection that its JobQueue is read by; None if it is not read."""
        poller = self._by_key.get(ref.jobqueue)
        return Queue(ref.queue, redis=poller.redis, prefix=ref.prefix) if poller is not None else None

    def wake(self, key: Key) -> None:
        """Read the queue of the JobQueue `key` again at once."""
        poller = self._by_key.get(key)
        if poller is not None:
            poller.wake(key)

    async def close(self) -> None:
        await asyncio.gather(*(poller.stop() for poller in self._pollers.values()), *self._stopping)
        self._pollers.clear()
        self._by_key.clear()
