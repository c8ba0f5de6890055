"""Whether the Redis that a spec names is the one that is served, reached another way: other seeds, TLS, a longer name.

What a Redis is reached by tells nothing of that. The claim does, which is where the queue is: read by the way that is
wanted it is this JobQueue's own, and the same that is read by the way that is served, to the letter, since each has a
token. A Redis that had the queue before may have an earlier one for a while. Where the way that is served leads nowhere
any more, as when all its Sentinels were replaced, that the claim is this JobQueue's own has to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable

from crewline.redis.connection import UNAVAILABLE

from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.key import Key
from crewline_operator.model.owner import claim_key, read_owner
from crewline_operator.redis.bulkhead import Bulkheads, Busy
from crewline_operator.redis.claims import claim_at, read_claim
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.pollers import Pollers
from crewline_operator.redis.reading import Reading

#: Connecting, and one command.
REDIS_TIMEOUT_SECONDS = 5.0
#: Another Redis is asked again after this: it may have been away, or be given the data of the one that is served.
AGAIN_SECONDS = 10.0


class Places:
    """Compares the Redis that is wanted with the one that is served."""

    def __init__(self, *, pollers: Pollers, bulkheads: Bulkheads) -> None:
        self._pollers = pollers
        self._bulkheads = bulkheads
        #: Which Redis was found to be another one, and when, by the monotonic clock.
        self._others: dict[Key, tuple[Endpoint, float]] = {}

    def forget(self, key: Key) -> None:
        """A JobQueue is gone."""
        self._others.pop(key, None)

    async def is_same(self, served: JobQueue, wanted: Endpoint) -> bool:
        """Whether the queue that is served is at `wanted`, too; as long as that is not known it is not."""
        key = served.key
        followed, reading = self._pollers.followed(key), self._pollers.reading(key)
        if followed is not None and followed[0] == wanted:
            # It was found to be so; the status tells it once the claim was read.
            owner = reading.snapshot.owner if reading.snapshot is not None else None
            return reading.snapshot is None or (owner is not None and owner.uid == served.uid)
        other, asked = self._others.get(key, (None, 0.0))
        if reading == Reading() or (other == wanted and time.monotonic() - asked < AGAIN_SECONDS):
            return False
        try:
            with self._bulkheads.enter(wanted, key):
                found = await _told(claim_at(wanted, claim_key(served.prefix, served.queue)))
                here = await self._served_claim(served) if found is not None else None
        except Busy:
            return False
        owner = read_owner(found)
        is_mine = owner is not None and owner.uid == served.uid
        if is_mine and (found == here or (here is None and reading.fault is not None)):
            self._others.pop(key, None)
            return True
        self._others[key] = wanted, time.monotonic()
        return False

    async def _served_claim(self, served: JobQueue) -> bytes | None:
        """The claim, by the connection that the queue is read by."""
        queue = self._pollers.queue(served.queue_ref)
        if queue is None:
            return None
        async with queue:
            return await _told(read_claim(queue.redis, claim_key(served.prefix, served.queue)))


async def _told(claim: Awaitable[bytes | None]) -> bytes | None:
    """A claim; None if there is none, or Redis does not answer."""
    with contextlib.suppress(*UNAVAILABLE):
        async with asyncio.timeout(REDIS_TIMEOUT_SECONDS):
            return await claim
    return None
