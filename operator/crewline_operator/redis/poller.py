"""Reads all queues of a Redis in one go, each second: one connection and one task per Redis, never per queue.

A Redis that can't be reached is told to its own queues only, with one log line when it goes and one when it comes back;
tries go on with backoff. A queue that Redis refuses to have read is told so alone. Whoever asks gets the last snapshot
or the fault, never a number that is older than the fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable

from crewline.queue.queue import Queue
from crewline.redis.connection import connect
from redis.asyncio import Redis

from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Key
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.faults import redis_fault
from crewline_operator.redis.reading import Reading, Snapshot, Target
from crewline_operator.redis.snapshot import read_snapshots

log = logging.getLogger(__name__)

#: Seconds one read of all queues may take, several round trips and a connect included.
READ_TIMEOUT_SECONDS = 5.0
COMMAND_TIMEOUT_SECONDS = 3.0
BACKOFF_CAP_SECONDS = 5.0

#: Told of the keys of JobQueues for which something changed.
OnChange = Callable[[Iterable[Key]], None]


class Poller:
    """One Redis."""

    def __init__(self, endpoint: Endpoint, on_change: OnChange, interval_seconds: float) -> None:
        self.endpoint = endpoint
        self.redis: Redis = connect(
            endpoint.url,
            called="crewline-operator",
            socket_timeout=COMMAND_TIMEOUT_SECONDS,
            socket_connect_timeout=COMMAND_TIMEOUT_SECONDS,
        )
        self._on_change = on_change
        self._interval_seconds = interval_seconds
        self._targets: dict[Key, Target] = {}
        self._readings: dict[Key, Reading] = {}
        self._fault: Fault | None = None
        self._failures = 0
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def empty(self) -> bool:
        return not self._targets

    def start(self) -> None:
        self._task = asyncio.create_task(self._poll_forever(), name=f"poller {self.endpoint.shown}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(Exception):
            await self.redis.aclose()

    def watch(self, key: Key, target: Target) -> None:
        """Read `target` for the JobQueue `key` from now on."""
        if self._targets.get(key) != target:
            self._targets[key] = target
            self._readings.pop(key, None)
            self._wake.set()

    def unwatch(self, key: Key) -> None:
        self._targets.pop(key, None)
        self._readings.pop(key, None)

    def target(self, key: Key) -> Target | None:
        return self._targets.get(key)

    def reading(self, key: Key) -> Reading:
        return self._readings.get(key, Reading())

    def wake(self) -> None:
        """Read again at once."""
        self._wake.set()

    async def _poll_forever(self) -> None:
        while True:
            self._wake.clear()
            await self.poll_once()
            wait_seconds = self._interval_seconds
            if self._failures:
                wait_seconds = min(BACKOFF_CAP_SECONDS, self._interval_seconds * 2.0 ** (self._failures - 1))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._wake.wait()

    async def poll_once(self) -> None:
        """One read of all queues, and word of what changed. Never raises: a fault is a result too."""
        targets = dict(self._targets)
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                snapshots = await read_snapshots(self.redis, list(dict.fromkeys(targets.values())))
        except Exception as error:
            self._failures += 1
            self._failed(redis_fault(error, self.endpoint.shown))
            return
        self._failures = 0
        self._succeeded(targets, snapshots)

    def _failed(self, fault: Fault) -> None:
        if fault != self._fault:
            log.warning("%s: %s", fault.reason, fault.message)
        self._fault = fault
        changed = [key for key in self._targets if self._readings.get(key) != Reading(fault=fault)]
        self._readings = dict.fromkeys(self._targets, Reading(fault=fault))
        self._on_change(changed)

    def _succeeded(self, targets: dict[Key, Target], found: dict[Target, Snapshot | Fault]) -> None:
        if self._fault is not None:
            log.info("RedisRecovered: Redis %s answers again", self.endpoint.shown)
            self._fault = None
        changed = []
        for key, target in targets.items():
            if self._targets.get(key) != target:
                continue
            earlier, seen = self._readings.get(key, Reading()), found[target]
            self._readings[key] = reading = Reading(fault=seen) if isinstance(seen, Fault) else Reading(snapshot=seen)
            if reading.differs_from(earlier):
                changed.append(key)
        self._on_change(changed)


class Pollers:
    """All Redis in use. A poller lives as long as a JobQueue uses it."""

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

    def reading(self, key: Key) -> Reading:
        """The last read for the JobQueue `key`; an empty one if there was none."""
        poller = self._by_key.get(key)
        return poller.reading(key) if poller is not None else Reading()

    def queue(self, ref: QueueRef) -> Queue | None:
        """A queue, on the connection that its JobQueue is read by; None if it is not read."""
        poller = self._by_key.get(ref.jobqueue)
        return Queue(ref.queue, redis=poller.redis, prefix=ref.prefix) if poller is not None else None

    def wake(self, key: Key) -> None:
        """Read the Redis of the JobQueue `key` again at once."""
        poller = self._by_key.get(key)
        if poller is not None:
            poller.wake()

    async def close(self) -> None:
        await asyncio.gather(*(poller.stop() for poller in self._pollers.values()), *self._stopping)
        self._pollers.clear()
        self._by_key.clear()
