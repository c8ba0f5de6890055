"""Wakes an idle worker: a blocked read of the queue's marker with a fetch behind it, and the due time of the next
delayed job.

BullMQ's protocol: a member ``0`` says that something may be runnable, a member ``1`` when a delayed job is due.
Whoever pops a token is the only one that knows of it, so a due time that was popped is kept and waited for.

The fetch is sent along with the blocked read: Redis runs it the moment that the marker comes, and the job is in the
answer that tells of it. A fetch sent after that answer would cost one more round trip, half of the time in which an
idle worker picks up a job.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from crewline.queue.queue import Queue
from crewline.redis.connection import UNAVAILABLE, cancelled, connect_blocking
from crewline.redis.lanes import Lanes
from crewline.worker.calls.commit import Committer
from crewline.worker.runs.state import State

log = logging.getLogger("crewline.worker")

#: Seconds that a read of the marker blocks at most: the longest that a lost token can delay a job.
MAX_BLOCK_SECONDS = 5.0
#: A due time beyond which any is as good as never; a foreign client may write an infinite one.
MAX_SCORE = 2.0**53


class MarkerWatch:
    """Waits for work while the worker has none.

    Args:
        queue: where the marker is.
        state, committer: the worker's.
        client_name: the connection's name, by which BullMQ finds workers.
        timeout_seconds: how long an answer may be overdue; a read blocks no longer than that either, so that what a
            dead link swallowed is asked for again while its lease holds.
    """

    def __init__(
        self, queue: Queue, state: State, committer: Committer, client_name: str, timeout_seconds: float
    ) -> None:
        self._queue = queue
        self._marker = queue.keys.marker
        self._state = state
        self._committer = committer
        self._client_name = client_name
        self._timeout_seconds = timeout_seconds
        self._block_seconds = min(MAX_BLOCK_SECONDS, timeout_seconds)
        self._client_id: int | None = None

    async def run(self) -> None:
        """Runs until cancelled."""
        failures = 0
        while not cancelled():
            redis = connect_blocking(self._queue.url, self._client_name)
            lanes = Lanes(redis)
            try:
                # a cluster's client has many connections
                self._client_id = int(await lanes.call("CLIENT", "ID")) if isinstance(redis, Redis) else None
                while not cancelled():
                    await self._state.idle.wait()
                    if self._state.hot or self._state.stopping or self._state.free_slots() <= 0:
                        self._state.idle.clear()
                        continue
                    await self._wait(lanes)
                    failures = 0
                    # what came begins before the next fetch is sent
                    await asyncio.sleep(0)
            except UNAVAILABLE as error:
                failures += 1
                if failures == 1:
                    log.info("the wake-up connection is replaced (%s: %s)", type(error).__name__, error)
                # polls by time until there is a connection again
                await asyncio.sleep(min(0.1 * 2 ** min(failures, 6), MAX_BLOCK_SECONDS))
                self._state.wake()
            finally:
                await redis.aclose()

    async def rouse(self) -> None:
        """Ends the blocked read where something else wants its slots, or that nothing is fetched; until cancelled."""
        state = self._state
        while not cancelled():
            await state.roused.wait()
            state.roused.clear()
            # Redis may not have begun to block yet
            while state.armed and not cancelled():
                if await self._unblock():
                    break
                await asyncio.sleep(0.02)

    async def released(self, seconds: float) -> None:
        """Returns once no fetch waits behind the marker, after ``seconds`` at most."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._state.armed:
                    self._state.roused.set()
                    await asyncio.sleep(0.005)

    async def _wait(self, lanes: Lanes) -> None:
        fetch = self._committer.arm()
        try:
            # a link that died without a reset never answers: the watchdog replaces it
            async with asyncio.timeout(self._block_seconds + self._timeout_seconds):
                popped, answer = await lanes.call_together(
                    ("BZPOPMIN", self._marker, self._block_seconds), fetch.command
                )
        except BaseException as error:
            # Redis may have fetched, and nobody else knows of these jobs
            await self._committer.recover(fetch, once=not isinstance(error, UNAVAILABLE))
            raise
        self._committer.take(fetch, answer)
        if isinstance(popped, Exception):
            raise popped
        score = float(popped[2]) if popped else 0.0
        if score > self._state.redis_now_ms() + 1:
            # this token is gone from Redis: only this worker knows the time now
            self._state.expect_due(int(min(score, MAX_SCORE)))

    async def _unblock(self) -> bool:
        redis = self._queue.redis
        try:
            if self._client_id is not None:
                return bool(await redis.client_unblock(self._client_id))
        except ResponseError:
            # the user may not: a token does it, though another worker may be the one that gets it
            self._client_id = None
        except UNAVAILABLE:
            return False
        with contextlib.suppress(*UNAVAILABLE):
            await redis.zadd(self._marker, {"0": 0})
        return True
