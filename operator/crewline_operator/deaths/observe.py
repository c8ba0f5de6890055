"""Reads what the workers of a queue tell of themselves, to find those that are dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from crewline_operator.deaths.causes import Death
from crewline_operator.deaths.observed import Observed, Seen
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.key import Key
from crewline_operator.redis.bulkhead import Bulkheads
from crewline_operator.redis.pollers import Pollers
from crewline_operator.redis.registry import read_entries

#: A look at the workers of a queue, two round trips.
REDIS_TIMEOUT_SECONDS = 5.0


class DeathObserver:
    """Observes the workers of queues, by the connections that they are read by, and changes nothing."""

    def __init__(self, *, pollers: Pollers, bulkheads: Bulkheads) -> None:
        self._pollers = pollers
        self._bulkheads = bulkheads

    async def observe(self, key: Key, jobqueue: JobQueue, deaths: Mapping[Death, float]) -> Observed | None:
        """What a plan is made from, for the pod `key`; None as long as its queue is not read.

        Args:
            deaths: and when each was seen, by the monotonic clock.

        Raises Busy, and what redis-py raises.
        """
        followed, queue = self._pollers.followed(jobqueue.key), self._pollers.queue(jobqueue.queue_ref)
        if followed is None or queue is None:
            return None
        endpoint, _ = followed
        with self._bulkheads.enter(endpoint, key):
            # Before they are asked: what is heard of a worker later than this is no word of a dead one.
            now = time.monotonic()
            async with queue, asyncio.timeout(REDIS_TIMEOUT_SECONDS):
                workers = await read_entries(queue, {death.uid for death in deaths})
        return Observed([Seen(death, now - seen) for death, seen in deaths.items()], workers)
