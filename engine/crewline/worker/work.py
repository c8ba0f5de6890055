"""What one worker does for as long as it lives, side by side, and how it lets go of all that it had opened for that."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from crewline.queue.queue import Queue
from crewline.redis.connection import end_tasks
from crewline.upkeep.maintainer import QueueMaintainer
from crewline.worker.calls.commit import Committer
from crewline.worker.calls.larger import LargerWatch
from crewline.worker.calls.reach import CALLS_FAR
from crewline.worker.calls.rights import Rights
from crewline.worker.calls.wakeup import MarkerWatch
from crewline.worker.registry.presence import Presence
from crewline.worker.runs.calling import Calling
from crewline.worker.runs.isolation import Isolator
from crewline.worker.runs.journal import Journal

#: Seconds that the first fetch waits at most for the queue's settings.
SETTINGS_SECONDS = 2.0


class Work:
    """The duties of one worker.

    Args:
        queue, rights, committer, watch, maintainer, isolator, presence, calling, journal: the worker's.
    """

    def __init__(
        self,
        queue: Queue,
        rights: Rights,
        committer: Committer,
        watch: MarkerWatch | LargerWatch,
        maintainer: QueueMaintainer,
        isolator: Isolator,
        presence: Presence,
        calling: Calling,
        journal: Journal,
    ) -> None:
        self._queue = queue
        self._rights = rights
        self._committer = committer
        self._watch = watch
        self._maintainer = maintainer
        self._isolator = isolator
        self._presence = presence
        self._calling = calling
        self._journal = journal

    def duties(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Each by its name."""
        return {
            **{f"commit-{index}": functools.partial(self._commit, index) for index in range(CALLS_FAR)},
            "wakeup": self._watch.run,
            "rouse": self._watch.rouse,
            "stalled": functools.partial(self._once_reached, self._maintainer.recover),
            "sweep": functools.partial(self._once_reached, self._maintainer.sweep),
            "isolation": self._isolator.run,
            "presence": self._presence.run,
            "journal": self._journal.run,
        }

    async def let_go(self, duties: Iterable[asyncio.Task[Any]]) -> None:
        """Closes all that was opened; the children end first of all, since no Redis is needed for that."""
        try:
            await asyncio.gather(self._calling.close(), end_tasks(*duties), self._maintainer.close())
            await self._presence.leave()
        finally:
            await self._queue.close()

    async def _commit(self, index: int) -> None:
        # the queue's settings come before the first fetch; a Redis that is away is the committer's to tell of
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._presence.begun.wait(), SETTINGS_SECONDS)
        await self._rights.granted()
        await self._committer.run(index)

    async def _once_reached(self, duty: Callable[[], Awaitable[None]]) -> None:
        """What changes jobs begins once it is known that this worker may."""
        await self._committer.reached.wait()
        await duty()
