"""Whether Redis lets a worker do all that it needs: asked before it fetches its first job.

A script that Redis refuses a command half-way is not undone, and its jobs would be in no state. So a worker whose user
lacks something waits, and says what.
"""

from __future__ import annotations

import asyncio
import logging
import uuid

from crewline.queue.by_id import ById
from crewline.redis.connection import UNAVAILABLE, redact
from crewline.worker.calls.reach import Reach

log = logging.getLogger("crewline.worker")

#: Seconds between two looks: the first, and the longest.
LOOK_SECONDS, LOOK_MOST_SECONDS = 0.2, 5.0


class Rights:
    """What one worker's user may do.

    Args:
        queue: the worker's.
        reach: told where Redis does not answer.
    """

    def __init__(self, queue: ById, reach: Reach) -> None:
        self._queue = queue
        self._reach = reach
        self._asked = asyncio.Lock()
        self._granted = False

    async def granted(self) -> None:
        """Returns once Redis has said that nothing is missing."""
        async with self._asked:
            seconds, told = LOOK_SECONDS, ""
            while not self._granted:
                try:
                    missing = await self._queue.scripts.check_rights(str(uuid.uuid4()))
                except UNAVAILABLE as error:
                    self._reach.failed(self, error, 0)
                else:
                    self._reach.heard(self)
                    self._granted = not missing
                    if missing and told != (told := ", ".join(missing)):
                        log.error(
                            "queue %s: the user of Redis at %s may not use %s: a worker needs that, and fetches "
                            "nothing before its user may", self._queue.name, redact(self._queue.url), told,
                        )  # fmt: skip
                if not self._granted:
                    await asyncio.sleep(seconds)
                    seconds = min(2 * seconds, LOOK_MOST_SECONDS)
            if told:
                log.info("queue %s: the user may do all that a worker needs now", self._queue.name)
