"""Wakes an idle worker: a blocked read of the queue's marker, and the due time of the next delayed job.

BullMQ's protocol: a member ``0`` says that something may be runnable, a member ``1`` when a delayed job is due.
Whoever pops a token is the only one that knows of it, so a due time that was popped is kept and waited for.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from crewline.connection import UNAVAILABLE, cancelled, connect_blocking
from crewline.keys import Keys
from crewline.worker.state import State

log = logging.getLogger("crewline.worker")

#: Seconds that a read of the marker blocks at most: the longest that a lost token can delay a job.
MAX_BLOCK_SECONDS = 5.0
#: A due time beyond which any is as good as never; a foreign client may write an infinite one.
MAX_SCORE = 2.0**53


class MarkerWatch:
    """Waits for work while the worker has none.

    Args:
        url, keys: where the queue is.
        state: the worker's.
        client_name: the connection's name, by which BullMQ finds workers.
    """

    def __init__(self, url: str, keys: Keys, state: State, client_name: str) -> None:
        self._url = url
        self._marker = keys.marker
        self._state = state
        self._client_name = client_name

    async def run(self) -> None:
        """Runs until cancelled."""
        failures = 0
        while not cancelled():
            redis = connect_blocking(self._url, self._client_name)
            try:
                while not cancelled():
                    await self._state.idle.wait()
                    if self._state.hot or self._state.free_slots() <= 0:
                        self._state.idle.clear()
                        continue
                    # a link that died without a reset never answers: the watchdog replaces it
                    async with asyncio.timeout(MAX_BLOCK_SECONDS + 5.0):
                        popped = await redis.bzpopmin(self._marker, timeout=MAX_BLOCK_SECONDS)
                    failures = 0
                    self._take(popped)
            except UNAVAILABLE as error:
                failures += 1
                if failures == 1:
                    log.info("the wake-up connection is replaced (%s: %s)", type(error).__name__, error)
                # polls by time until there is a connection again
                await asyncio.sleep(min(0.1 * 2 ** min(failures, 6), MAX_BLOCK_SECONDS))
                self._state.wake()
            finally:
                await redis.aclose()

    def _take(self, popped: Any) -> None:
        state = self._state
        score = float(popped[2]) if popped else 0.0
        if score > state.redis_now_ms() + 1:
            # this token is gone from Redis: only this worker knows the time now
            state.expect_due(int(min(score, MAX_SCORE)))
        else:
            state.wake()
