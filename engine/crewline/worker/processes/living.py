"""A worker's children that live, and how each ends: by itself, killed, or with the worker."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

from crewline.errors import CrewlineError
from crewline.worker.processes.answers import ChildDied, ChildUnavailable
from crewline.worker.processes.copies import Copy
from crewline.worker.processes.link import Link
from crewline.worker.processes.memory import Memory

T = TypeVar("T")

#: Seconds after the end of a child's line in which it may end by itself, to say how.
EXIT_CODE_SECONDS = 1.0
#: Seconds that the end of a killed process is waited for.
KILL_SECONDS = 5.0
#: Seconds that a child which has done its only job may take to end by itself.
EXIT_SECONDS = 5.0


class Living:
    """The children of one worker that have not ended.

    Attributes:
        closed: the worker has stopped: none is made any more.
        memory: tells which of them were killed for want of it.
    """

    def __init__(self) -> None:
        self._links: set[Link] = set()
        self._leaving: set[asyncio.Task[Any]] = set()
        self.closed = False
        self.memory = Memory()

    def __len__(self) -> int:
        return len(self._links)

    def add(self) -> Link:
        """The worker's end of a child that is to be made."""
        if self.closed:
            raise ChildUnavailable("the worker has stopped: it starts no process any more")
        link = Link()
        self._links.add(link)
        return link

    def close(self) -> None:
        """Kills all of them, also in the middle of a run, which ends as ChildUnavailable."""
        self.closed = True
        for link in self._links:
            link.kill()

    async def wait_closed(self, seconds: float = KILL_SECONDS) -> bool:
        """Waits until all have ended, after `close`; False if one has not within so many seconds."""
        links = list(self._links)
        ended = await asyncio.gather(*(link.ended(seconds) for link in links))
        for link in links:
            self._discard(link)
        return all(ended)

    async def end(self, link: Link) -> CrewlineError:
        """Ends a child whose exchange did not end cleanly; returns what to say where it ended by itself."""
        # whoever waits for it may be told to end: the child is to end all the same
        return await asyncio.shield(self._beside(self._end(link)))

    def let_go(self, link: Link) -> None:
        """Lets a child end by itself; it is killed if it does not."""
        link.hang_up()
        self._beside(self._see_off(link))

    def _beside(self, ending: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(ending)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return task

    async def _end(self, link: Link) -> CrewlineError:
        # where its line has ended, its exit code is the news
        by_itself = link.dead and not link.killed and await link.ended(EXIT_CODE_SECONDS)
        link.kill()
        if await link.ended(KILL_SECONDS):
            self._discard(link)
        if self.closed:
            return ChildUnavailable("the worker has stopped: the handler's process was killed")
        if isinstance(link.process, Copy) and link.process.unmade:
            return ChildUnavailable("the process that the handler's was copied from has ended")
        code = link.process.returncode if link.process and by_itself else None
        return ChildDied(code, oom=code == -signal.SIGKILL and self.memory.was_the_cause(link.oom_kills))

    async def _see_off(self, link: Link) -> None:
        if not await link.ended(EXIT_SECONDS):
            await self._end(link)
        self._discard(link)

    def _discard(self, link: Link) -> None:
        self._links.discard(link)
        link.release()
