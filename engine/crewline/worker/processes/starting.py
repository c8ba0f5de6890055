"""How children begin: each in a new interpreter that imports the handler's module, or as a copy of one that has."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections import defaultdict
from collections.abc import Callable

from crewline.errors import HandlerNotFound
from crewline.worker.processes import mainfile
from crewline.worker.processes.answers import ChildRefused, ChildUnavailable
from crewline.worker.processes.copies import Copies
from crewline.worker.processes.link import Hangup, Link
from crewline.worker.processes.living import Living
from crewline.worker.processes.messages import Hello, Where
from crewline.worker.threads.pool import Pool

log = logging.getLogger("crewline.worker")

#: Seconds that a child may take until it is ready, with the import of its handler's module.
START_SECONDS = 60.0
#: Seconds that a process is kept to copy children from after the last of them.
TEMPLATE_SECONDS = 30.0


class Starter:
    """Starts the children of one worker.

    Args:
        living: where they are kept until they end.
        where: the queue, for the children's own connections.
        start_seconds: how long a child may take until it is ready.
    """

    def __init__(self, living: Living, where: Where, start_seconds: float = START_SECONDS) -> None:
        self._living = living
        self._where = where
        self._start_seconds = start_seconds
        # one thread starts all of them and stays: Linux ends a child when the thread that made it ends
        self._nursery = Pool(1, "crewline-children")
        #: by handler; None: it can't be copied
        self._templates: dict[str, Copies | None] = {}
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._copied = 0
        self._forgetting: asyncio.TimerHandle | None = None
        #: Called once many children can be made in little time and memory.
        self.on_copying: Callable[[], None] = lambda: None

    @property
    def copying(self) -> bool:
        """Whether children are copied: they come in milliseconds, and share their memory."""
        return any(copies and copies.open for copies in self._templates.values())

    async def start(self, spec: str) -> Link:
        """A new child that has imported the handler ``spec``; raises as `Children.run` does where there is none."""
        link, _ = await self._start(spec)
        return link

    async def copy(self, spec: str) -> Link:
        """The same, copied where that can be; where what others were copied from has ended, there is another first."""
        async with self._making[spec]:
            known = self._templates.get(spec)
            if spec not in self._templates or (known is not None and not known.open):
                link, made = await self._start(spec, template=True)
                # only now: a start that did not come to an end tells nothing of the next
                self._templates[spec] = made
                if made is None:
                    return link
                self.on_copying()
        copies = self._templates.get(spec)
        if copies is None or not copies.open:
            return await self.start(spec)
        link = self._living.add()
        try:
            copy = await link.open_copy(copies)
            if not await copy.settled():
                if copies.open:
                    log.error("the process that children are copied from stands still: it is killed, with its copies")
                    copies.kill()
                raise ChildUnavailable("the process that the handler's was to be copied from stood still")
            if copy.unmade:
                # an interpreter for each that waited, as many as those may be, would be too many at once
                raise ChildUnavailable("the handler's process could not be copied, or the one to be copied has ended")
        except BaseException as error:
            await self._living.end(link)
            if isinstance(error, OSError):
                raise ChildRefused(f"the handler's process could not be made: {error}") from error
            raise
        return link

    def needs_copies(self, one: int) -> None:
        """One more run needs a copy, or one less: what they are copied from is kept while any does, and a while."""
        self._copied += one
        if self._forgetting is not None:
            self._forgetting.cancel()
            self._forgetting = None
        if not self._copied and not self._living.closed:
            self._forgetting = asyncio.get_running_loop().call_later(TEMPLATE_SECONDS, self._forget_templates)

    def close(self) -> None:
        """Starts nothing any more."""
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._forget_templates()
        self._nursery.close()

    def _forget_templates(self) -> None:
        """Lets go of what children were copied from, and with it of what still runs there."""
        templates, self._templates = self._templates, {}
        for copies in templates.values():
            if copies:
                copies.close()

    async def _start(self, spec: str, *, template: bool = False) -> tuple[Link, Copies | None]:
        """Starts a child that has imported the handler; with ``template``, one that others are copied from, if it can.

        That one ends with its `Copies`.
        """
        link = self._living.add()
        control: socket.socket | None = None
        try:
            async with asyncio.timeout(self._start_seconds):
                control = await link.open(self._nursery, template=template)
                answer = await link.exchange(Hello(self._where, spec, sys.argv, mainfile.path_of_main()))
            if control and answer.kind == "template":
                copies, control = Copies(control, link.kill, lambda: self._living.let_go(link)), None
                return link, copies
        except TimeoutError:
            await self._living.end(link)
            raise ChildUnavailable(
                f"the handler's process was not ready within {self._start_seconds:g} s: it was killed"
            ) from None
        except Hangup:
            died = await self._living.end(link)
            raise ChildUnavailable(f"{died} before it was ready") from None
        except OSError as error:
            await self._living.end(link)
            raise ChildRefused(f"the handler's process could not be started: {error}") from error
        except BaseException:
            await self._living.end(link)
            raise
        finally:
            if control:
                control.close()
        if answer.kind != "ready":
            self._living.let_go(link)
            raise HandlerNotFound(answer.text)
        return link, None
