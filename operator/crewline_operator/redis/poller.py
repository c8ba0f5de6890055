"""Reads the queues of a Redis: one task and one connection per Redis, never per queue.

How often depends on the queue. Where workers come or go it is read four times an interval, else once; one that sleeps
is read once in ten intervals as long as its events wake it (wake.py), and when a delayed job comes due. Queues whose
time has come are read together, few enough that what was woken meanwhile does not wait for long.

A Redis that can't be reached is told to its own queues only, with one log line when it goes and one when it comes back;
tries go on with backoff. A queue that Redis refuses to have read is told so alone. Whoever asks gets the last snapshot
or the fault, never a number that is older than the fault, nor one that should have been read again long since.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import zlib
from collections.abc import Callable, Collection, Iterable

from crewline.redis.connection import cancelled, end_tasks
from crewline.wire.keys import Keys
from redis.asyncio import Redis

from crewline_operator.duty import kept_up
from crewline_operator.model.attention import Attention
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, TOO_LARGE, Fault
from crewline_operator.model.key import Key
from crewline_operator.redis.agenda import Agenda, next_turn
from crewline_operator.redis.answers import connect_bounded
from crewline_operator.redis.apart import Apart
from crewline_operator.redis.certificates import Opened
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.faults import redis_fault
from crewline_operator.redis.reading import Reading, Snapshot, Target
from crewline_operator.redis.snapshot import read_snapshots
from crewline_operator.redis.wakes import Wakes

log = logging.getLogger(__name__)

#: Seconds one read may take, several round trips and a connect included.
READ_TIMEOUT_SECONDS = 5.0
COMMAND_TIMEOUT_SECONDS = 3.0
BACKOFF_CAP_SECONDS = 5.0
#: Queues that are read together: some 20 commands each keep Redis' other clients served, and our own loop.
QUEUES_AT_ONCE = 50
#: Reads in an interval of a queue whose workers come or go, and intervals between two reads of one that sleeps.
CLOSE_READS = 4
ASLEEP_INTERVALS = 10
#: Delayed jobs may come due all the time: between two reads for these is so much.
CHANGE_SECONDS = 0.25

#: A read that is later than this by so much comes no more, or too late: nothing is decided by the last one.
LATE_SECONDS = 60.0

#: Told of the keys of JobQueues for which something changed.
OnChange = Callable[[Iterable[Key]], None]


class Poller:
    """One Redis."""

    def __init__(self, endpoint: Endpoint, on_change: OnChange, interval_seconds: float) -> None:
        self.endpoint = endpoint
        self._opened = Opened(endpoint)
        self.redis: Redis = connect_bounded(
            self._opened.url,
            called="crewline-operator",
            socket_timeout=COMMAND_TIMEOUT_SECONDS,
            socket_connect_timeout=COMMAND_TIMEOUT_SECONDS,
        )
        self._on_change = on_change
        self._interval_seconds = interval_seconds
        self._targets: dict[Key, Target] = {}
        self._attention: dict[Key, Attention] = {}
        self._readings: dict[Key, Reading] = {}
        self._fault: Fault | None = None
        self._failures = 0
        self._agenda: Agenda[Key] = Agenda()
        self._apart = Apart()
        self._changed = asyncio.Event()
        self._wakes = Wakes(self._opened.url, endpoint.shown, self._read_now)
        self._task: asyncio.Task[None] | None = None

    @property
    def empty(self) -> bool:
        return not self._targets

    def start(self) -> None:
        name = f"the poller of Redis {self.endpoint.shown}"
        self._task = asyncio.create_task(kept_up(name, self._poll_forever), name=name)

    async def stop(self) -> None:
        await self._wakes.stop()
        if self._task is not None:
            await end_tasks(self._task)
        with contextlib.suppress(Exception):
            await self.redis.aclose()
        self._opened.close()

    def watch(self, key: Key, target: Target) -> None:
        """Read `target` for the JobQueue `key` from now on."""
        if self._targets.get(key) != target:
            self.unwatch(key)
            self._targets[key] = target
            self.wake(key)

    def unwatch(self, key: Key) -> None:
        self._wakes.rouse(key)
        self._agenda.drop(key)
        self._attention.pop(key, None)
        target = self._targets.pop(key, None)
        if target is not None and target not in self._targets.values():
            self._apart.forget(target)
        self._readings.pop(key, None)

    def target(self, key: Key) -> Target | None:
        return self._targets.get(key)

    def reading(self, key: Key) -> Reading:
        oldest_seconds = ASLEEP_INTERVALS * self._interval_seconds + LATE_SECONDS
        return self._readings.get(key, Reading()).as_of(time.monotonic(), oldest_seconds)

    def attention(self, key: Key) -> Attention:
        return self._attention.get(key, Attention.STEADY)

    def attend(self, key: Key, attention: Attention) -> None:
        """Look so closely at the queue of the JobQueue `key` from now on."""
        target = self._targets.get(key)
        if target is None or attention is self.attention(key):
            return
        self._attention[key] = attention
        if attention is Attention.ASLEEP:
            self._wakes.sleep(key, Keys(target.prefix, target.queue).events)
            # What was added since its last read is seen by this one, and what is added after by its events.
            self.wake(key)
        else:
            self._wakes.rouse(key)
            self._plan([key])

    def wake(self, key: Key) -> None:
        """Read the queue of the JobQueue `key` again at once."""
        self._read_now([key])

    def _read_now(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self._agenda.add(key)
        self._changed.set()

    def _plan(self, keys: Iterable[Key]) -> None:
        """Have queues read in their turn."""
        now = time.monotonic()
        for key in keys:
            if key in self._targets:
                self._agenda.plan(key, self._next_at(key, now))
        self._changed.set()

    def _next_at(self, key: Key, now: float) -> float:
        attention, interval = self.attention(key), self._interval_seconds
        if attention is Attention.ASLEEP and self._wakes.waits_for(key):
            phase = zlib.crc32(str(key).encode()) % (ASLEEP_INTERVALS * CLOSE_READS) * interval / CLOSE_READS
            at = next_turn(now, ASLEEP_INTERVALS * interval, phase)
        else:
            at = next_turn(now, interval / CLOSE_READS if attention is Attention.CLOSE else interval)
        reading = self.reading(key)
        if reading.fault is not None and reading.fault.reason == TOO_LARGE:
            # Each try takes as much as a connection bears.
            return now + FAULT_CHECK_SECONDS
        snapshot = reading.snapshot
        changes = snapshot.changes_in_seconds if snapshot is not None else None
        return at if changes is None else min(at, now + max(changes, CHANGE_SECONDS))

    async def _poll_forever(self) -> None:
        # Where this begins again there are some whose time had come, and who were not read.
        self._read_now(self._targets)
        while not cancelled():
            keys = self._agenda.take(time.monotonic(), QUEUES_AT_ONCE)
            if keys:
                await self.poll_once(keys)
                continue
            self._changed.clear()
            at = self._agenda.next_at()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if at is None else at - time.monotonic()):
                    await self._changed.wait()

    async def poll_once(self, only: Collection[Key] | None = None) -> None:
        """One read of all queues, or of some, and word of what changed. Never raises: a fault is a result too."""
        targets = {key: self._targets[key] for key in (self._targets if only is None else only) if key in self._targets}
        if not targets:
            return
        readings = {target: self.reading(key).snapshot for key, target in targets.items()}
        earlier = {target: snapshot for target, snapshot in readings.items() if snapshot is not None}
        sleeping = {target for key, target in targets.items() if self.attention(key) is Attention.ASLEEP}
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS):
                asked = list(dict.fromkeys(targets.values()))
                snapshots = await read_snapshots(self.redis, asked, sleeping, earlier, self._apart)
        except Exception as error:
            self._failed(redis_fault(error, self.endpoint.shown))
        else:
            self._succeeded(targets, snapshots)

    def _failed(self, fault: Fault) -> None:
        if fault != self._fault:
            log.warning("%s: %s", fault.reason, fault.message)
        self._fault = fault
        seconds = min(BACKOFF_CAP_SECONDS, self._interval_seconds * 2.0**self._failures)
        self._failures = min(self._failures + 1, 30)
        again_at = time.monotonic() + seconds
        for key in self._targets:
            # Nobody is read meanwhile: the first one then is a try for all.
            self._agenda.drop(key)
            self._agenda.plan(key, again_at)
        changed = [key for key in self._targets if self._readings.get(key) != Reading(fault=fault)]
        self._readings = dict.fromkeys(self._targets, Reading(fault=fault))
        self._on_change(changed)

    def _succeeded(self, targets: dict[Key, Target], found: dict[Target, Snapshot | Fault]) -> None:
        self._failures = 0
        if self._fault is not None:
            log.info("RedisRecovered: Redis %s answers again", self.endpoint.shown)
            self._fault = None
            for key in self._targets.keys() - targets.keys():
                self._agenda.add(key)
        changed = []
        for key, target in targets.items():
            if self._targets.get(key) != target:
                continue
            earlier, seen = self._readings.get(key, Reading()), found[target]
            self._readings[key] = reading = Reading(fault=seen) if isinstance(seen, Fault) else Reading(snapshot=seen)
            self._wakes.was_read(key, reading.snapshot.position if reading.snapshot is not None else None)
            if reading.differs_from(earlier):
                changed.append(key)
        self._plan(targets)
        self._wakes.look()
        self._on_change(changed)
