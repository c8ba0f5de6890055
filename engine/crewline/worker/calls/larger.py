"""A larger worker's wait for work: it looks for jobs that wait for such a worker, and ends once there are none.

It must not read the queue's marker: whoever pops a token is the only one that knows of it, and this worker does nothing
of what tokens tell of. It lives for a short time only, so that a look a second costs little.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from crewline.queue.by_id import ById
from crewline.redis.connection import UNAVAILABLE, cancelled
from crewline.wire.larger import LARGER_KEY
from crewline.worker.calls.backlog import Backlog
from crewline.worker.runs.slots import Slots

log = logging.getLogger("crewline.worker")

#: Seconds between two looks.
LOOK_SECONDS = 1.0
#: Seconds without a job, and without one that will wait by then, after which the worker ends.
IDLE_SECONDS = 10.0


class LargerWatch:
    """Stands where other workers have their `MarkerWatch`.

    Args:
        queue: where jobs wait.
        slots, backlog: the worker's.
        end: ends the worker.
    """

    def __init__(self, queue: ById, slots: Slots, backlog: Backlog, end: Callable[[], None]) -> None:
        self._queue = queue
        self._slots = slots
        self._backlog = backlog
        self._end = end

    async def run(self) -> None:
        """Looks for jobs whenever the worker has none; until cancelled."""
        now = asyncio.get_running_loop().time
        had_work = now()
        while not cancelled():
            await asyncio.sleep(LOOK_SECONDS)
            if self._slots.held() or await self._waits():
                had_work = now()
                self._slots.wake()
            elif now() - had_work > IDLE_SECONDS:
                log.info("queue %s: no job waits for a larger worker: this one ends", self._queue.name)
                self._end()
                await asyncio.Event().wait()

    async def rouse(self) -> None:
        """No fetch waits in Redis that would have to be ended; until cancelled."""
        await asyncio.Event().wait()

    async def released(self, seconds: float) -> None:
        """As no fetch waits in Redis, at once."""

    async def _waits(self) -> bool:
        """Whether a job waits for such a worker, or soon will; where Redis does not tell, one may.

        None does in a paused queue: nobody knows for how long, and this worker is not kept for it.
        """
        keys = self._queue.keys
        try:
            async with self._queue.redis.pipeline(transaction=False) as pipe:
                pipe.zrange(keys.extra(LARGER_KEY), 0, 0, withscores=True)
                pipe.hexists(keys.meta, "paused")
                first, paused = await pipe.execute()
        except UNAVAILABLE:
            return True
        return bool(first) and not paused and float(first[0][1]) <= self._backlog.redis_now_ms() + IDLE_SECONDS * 1000
