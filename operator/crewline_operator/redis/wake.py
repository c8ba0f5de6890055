"""Wakes queues from zero: one blocked read of the event streams of all queues of a Redis that have no workers.

Every BullMQ client, ours or not, writes an event when it adds a job, so that nobody has to be asked to wake anything.
A connection of its own is blocked in XREAD most of the time; it is never one for each queue.

A queue that falls asleep meanwhile is waited for when the block ends, at most BLOCK_SECONDS later, and is polled until
then. Ending a block early would take CLIENT UNBLOCK, an administrator's command that users are commonly denied, or
writing to a key that many could not share; while a short block needs no right, leaves nothing in Redis, and tells each
time that the connection lives. To begin one costs 2.5 ms of the operator and 1 ms of Redis for 1,000 queues (9 and 3.5
for 5,000), seen on Redis 7.0.

It runs dry where Redis is away, and each queue that it can't wait for is polled as one that has workers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any

from crewline.redis.connection import UNAVAILABLE, cancelled, end_tasks
from crewline.redis.topology import is_cluster
from crewline.wire.text import text
from redis.exceptions import ResponseError

from crewline_operator.duty import kept_up
from crewline_operator.model.key import Key
from crewline_operator.redis.answers import AnswerTooLarge, connect_bounded
from crewline_operator.redis.faults import redis_fault
from crewline_operator.redis.watched import Watched

log = logging.getLogger(__name__)

BLOCK_SECONDS = 0.5
#: A block that has not ended so long after its time has no connection any more.
LATE_SECONDS = 3.0
#: After a failed try; twice as long after each further one, up to the cap.
RETRY_SECONDS = 0.5
RETRY_CAP_SECONDS = 30.0

#: Has queues read at once: something was written to them, or they can't be waited for, or from where has to be read.
ReadNow = Callable[[Iterable[Key]], None]


class WakeReader:
    """One Redis, or one slot of a cluster."""

    def __init__(self, url: str, shown: str, watched: Watched, read_now: ReadNow) -> None:
        #: Without user and password.
        self._shown = shown
        self._watched = watched
        self._read_now = read_now
        self._redis = connect_bounded(
            url,
            called="crewline-operator-wake",
            socket_timeout=BLOCK_SECONDS + LATE_SECONDS,
            socket_connect_timeout=LATE_SECONDS,
            max_connections=1,
        )
        self._failures = 0
        self._began = False
        #: Of which a log line has told that they can't be read.
        self._told: set[str] = set()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        name = f"the wake reader of Redis {self._shown}"
        self._task = asyncio.create_task(kept_up(name, self._read_forever), name=name)

    async def stop(self) -> None:
        if self._task is not None:
            await end_tasks(self._task)
        with contextlib.suppress(Exception):
            await self._redis.aclose()

    def look(self) -> None:
        """There may be more to wait for."""
        self._changed.set()

    async def _read_forever(self) -> None:
        if self._began:
            # Some may have been woken of whom nobody was told.
            self._read_now(self._watched.lost())
        self._began = True
        while not cancelled():
            streams = self._watched.streams()
            if not streams:
                await self._wait(self._watched.next_change_seconds())
                continue
            try:
                woken = await self._read(streams)
            except ResponseError as error:
                await self._sort_out(streams, error)
            except AnswerTooLarge as error:
                await self._part(streams, error)
            except UNAVAILABLE as error:
                await self._lost(error)
            else:
                self._recovered()
                if woken:
                    self._read_now(self._watched.woke(woken))

    async def _read(self, streams: dict[str, str]) -> set[str]:
        """Block until there are events after those positions; the streams that have any."""
        seconds = min(BLOCK_SECONDS, self._watched.next_change_seconds() or BLOCK_SECONDS)
        if not self._watched.up:
            # Until it has worked once nobody may rely on it.
            seconds = 0.001
        async with asyncio.timeout(seconds + LATE_SECONDS):
            return await self._ask(streams, max(1, round(seconds * 1000)))

    async def _sort_out(self, streams: dict[str, str], error: Exception) -> None:
        """Redis refuses the read as a whole, whichever stream it is for: find those that it does not refuse alone."""
        try:
            async with asyncio.timeout(LATE_SECONDS), self._redis.pipeline(transaction=False) as pipe:
                for stream in streams:
                    pipe.xread({stream: "$"}, count=1)
                answers = await pipe.execute(raise_on_error=False)
        except UNAVAILABLE as unavailable:
            await self._lost(unavailable)
            return
        refused = {stream for stream, answer in zip(streams, answers, strict=True) if isinstance(answer, ResponseError)}
        if not refused:
            await self._lost(error)
            return
        for stream in sorted(refused - self._told):
            log.warning("Redis %s does not let %r be read: that queue is polled", self._shown, stream)
        self._told |= refused
        self._read_now(self._watched.refuse(refused))

    async def _part(self, streams: dict[str, str], error: Exception) -> None:
        """The events are too large to be taken in together: find those that are so alone, and those that are not."""
        try:
            large, woken = await self._sift(streams)
        except (ResponseError, *UNAVAILABLE):
            await self._lost(error)
            return
        for stream in sorted(large - self._told):
            log.warning("Redis %s has too large an event in %r: that queue is polled", self._shown, stream)
        self._told |= large
        self._read_now(self._watched.refuse(large))
        self._read_now(self._watched.woke(woken))

    async def _sift(self, streams: dict[str, str]) -> tuple[set[str], set[str]]:
        """Those that have too large an event, and the others that have any."""
        try:
            async with asyncio.timeout(LATE_SECONDS):
                return set(), await self._ask(streams)
        except AnswerTooLarge:
            if len(streams) == 1:
                return set(streams), set()
        names = list(streams)
        halves = names[: len(names) // 2], names[len(names) // 2 :]
        (large, woken), others = [await self._sift({name: streams[name] for name in half}) for half in halves]
        return large | others[0], woken | others[1]

    async def _ask(self, streams: dict[str, str], block_ms: int | None = None) -> set[str]:
        after: dict[Any, Any] = dict(streams)
        reply: Any = await self._redis.xread(after, count=1, block=block_ms)
        return {text(name) for name in (reply if isinstance(reply, dict) else dict(reply or ()))}

    async def _lost(self, error: BaseException) -> None:
        if not self._failures:
            fault = redis_fault(error, self._shown)
            log.warning("queues at zero are polled, no event wakes them: %s: %s", fault.reason, fault.message)
        self._read_now(self._watched.lost())
        # A reply that comes late must not be taken for another call's; a cluster's nodes are asked for anew.
        with contextlib.suppress(Exception):
            await (self._redis.aclose() if is_cluster(self._redis) else self._redis.connection_pool.disconnect())
        seconds = min(RETRY_CAP_SECONDS, RETRY_SECONDS * 2.0**self._failures)
        self._failures = min(self._failures + 1, 30)
        await asyncio.sleep(seconds)

    def _recovered(self) -> None:
        if self._failures:
            log.info("Redis %s: events wake queues at zero again", self._shown)
        self._failures = 0
        self._watched.stands()

    async def _wait(self, seconds: float | None) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()
