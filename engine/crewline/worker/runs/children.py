"""The child processes of a worker: for work that holds the interpreter or has to be stopped for sure, and for suspects.

A child serves one job at a time and is kept for the next one, unless its exchange did not end cleanly: a timeout, a
cancellation, any error in between, or an answer for another run ends the child. So nothing that is left on a line can
become another job's result. A child that dies takes the attempt with it of the job that it has begun, never the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import socket
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from crewline.errors import CrewlineError, HandlerNotFound, InvalidOption, InvalidPayload
from crewline.queue.job import Job
from crewline.worker.handlers.targets import Target
from crewline.worker.runs import mainfile
from crewline.worker.runs.answers import ChildDied, ChildRefused, ChildUnavailable, Returned, outcome
from crewline.worker.runs.child import Hello, Request, Where
from crewline.worker.runs.copies import Copies, Copy
from crewline.worker.runs.link import Hangup, Link
from crewline.worker.runs.threads import Pool

log = logging.getLogger("crewline.worker")

#: Children that a job is given to, one after the other, where each dies before it begins.
MOST_TRIED = 3
#: Seconds that a child may take until it is ready, with the import of its handler's module.
START_SECONDS = 60.0
#: Seconds after the end of a child's line in which it may end by itself, to say how.
EXIT_CODE_SECONDS = 1.0
#: Seconds that a process is kept to copy children from after the last of them.
TEMPLATE_SECONDS = 30.0
#: Seconds that the end of a killed process is waited for.
KILL_SECONDS = 5.0
#: Seconds that a child which has done its only job may take to end by itself.
EXIT_SECONDS = 5.0


class Children:
    """The child processes of one worker.

    Args:
        where: the queue, for the children's own connections.
        size: how many are kept for the next job at most, with those that run one.
        start_seconds: how long a child may take until it is ready.
    """

    def __init__(self, where: Where, size: int, start_seconds: float = START_SECONDS) -> None:
        self._where = where
        self._size = size
        self._start_seconds = start_seconds
        # one thread starts all of them and stays: Linux ends a child when the thread that made it ends
        self._nursery = Pool(1, "crewline-children")
        self._links: set[Link] = set()
        self._idle: list[Link] = []
        self._serving = 0
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False
        #: by handler; None: it can't be copied
        self._templates: dict[str, Copies | None] = {}
        self._making: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._alone = 0
        self._forgetting: asyncio.TimerHandle | None = None
        #: Called once many children can be made in little time and memory.
        self.on_copying: Callable[[], None] = lambda: None

    @property
    def copying(self) -> bool:
        """Whether children that run one job alone are copied: they come in milliseconds, and share their memory."""
        return any(copies and copies.open for copies in self._templates.values())

    async def run(self, job: Job, target: Target, *, timeout: float | None, alone: bool = False) -> Returned:
        """Runs a job's handler in a child and returns what it returned.

        Args:
            timeout: seconds that the handler may take, without its process' start; None for no bound.
            alone: in a new child that runs nothing else and ends after it. What the handler leaves running there ends
                with it.

        Raises:
            what the handler raised: Reject (also for a result that is not JSON), Retry and LeaseLost as they are,
            everything else as ChildFailed. TimeoutError. ChildDied: the process ended in the middle of the run.
            HandlerNotFound: the child can't import the handler. ChildUnavailable: there is no child.
        """
        spec = spec_of(target.call)
        request = Request(job.id, job._token, spec, _content(job))
        for left in range(MOST_TRIED - 1, -1, -1):
            link = await (self._take_alone(spec) if alone else self._take(spec))
            self._count(alone, 1)
            try:
                async with asyncio.timeout(timeout):
                    answer = await link.exchange(request)
                if (answer.job_id, answer.token) != (request.job_id, request.token):
                    raise Hangup("its answer is for another run")
                break
            except TimeoutError:
                await self._end(link)
                raise TimeoutError(f"timed out after {timeout:g} s: its process was killed") from None
            except Hangup:
                ended = await self._end(link)
                if link.begun or self._closed:
                    raise ended from None
                if not left:
                    # none of them has run anything of the job's
                    raise ChildUnavailable(
                        f"{MOST_TRIED} processes, one after the other, ended before they began: {ended}"
                    ) from None
                log.warning("job %s of queue %s: %s before it began: another runs it", job.id, job.queue_name, ended)
            except BaseException:
                await self._end(link)
                raise
            finally:
                self._count(alone, -1)
        if alone:
            self._let_go(link)
        else:
            self._idle.append(link)
            self._shrink()
        return outcome(answer)

    def resize(self, size: int) -> None:
        """Sets how many are kept; those above it end once they are idle."""
        self._size = size
        self._shrink()

    def _shrink(self) -> None:
        while self._idle and len(self._idle) + self._serving > self._size:
            # the one that rested longest
            self._let_go(self._idle.pop(0))

    def close(self) -> None:
        """Kills all children, also in the middle of a run, which ends as ChildUnavailable."""
        self._closed = True
        self._idle.clear()
        self._forget_templates()
        for link in self._links:
            link.kill()
        self._nursery.close()

    async def wait_closed(self, seconds: float = KILL_SECONDS) -> bool:
        """Waits until all children have ended, after `close`; False if one has not within so many seconds."""
        ended = await asyncio.gather(*(link.ended(seconds) for link in list(self._links)))
        return all(ended)

    def _count(self, alone: bool, one: int) -> None:
        if not alone:
            self._serving += one
            return
        self._alone += one
        if self._forgetting is not None:
            self._forgetting.cancel()
            self._forgetting = None
        if not self._alone and not self._closed:
            self._forgetting = asyncio.get_running_loop().call_later(TEMPLATE_SECONDS, self._forget_templates)

    async def _take(self, spec: str) -> Link:
        while self._idle:
            link = self._idle.pop()
            if not link.gone:
                return link
            # it died between two jobs
            self._let_go(link)
        link, _ = await self._start(spec)
        return link

    async def _take_alone(self, spec: str) -> Link:
        async with self._making[spec]:
            if spec not in self._templates:
                self._templates[spec] = None
                link, self._templates[spec] = await self._start(spec, template=True)
                if self._templates[spec] is None:
                    return link
                self.on_copying()
        copies = self._templates.get(spec)
        if copies is None or not copies.open:
            link, _ = await self._start(spec)
            return link
        link = Link()
        self._links.add(link)
        try:
            await link.open_copy(copies)
        except BaseException as error:
            await self._end(link)
            if isinstance(error, OSError):
                raise ChildRefused(f"the handler's process could not be made: {error}") from error
            raise
        return link

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
        if self._closed:
            raise ChildUnavailable("the worker has stopped: it starts no process any more")
        link = Link()
        self._links.add(link)
        control: socket.socket | None = None
        try:
            async with asyncio.timeout(self._start_seconds):
                control = await link.open(self._nursery, template=template)
                answer = await link.exchange(Hello(self._where, spec, sys.argv, mainfile.path_of_main()))
            if control and answer.kind == "template":
                copies, control = Copies(control, lambda: self._let_go(link)), None
                return link, copies
        except TimeoutError:
            await self._end(link)
            raise ChildUnavailable(
                f"the handler's process was not ready within {self._start_seconds:g} s: it was killed"
            ) from None
        except Hangup:
            died = await self._end(link)
            raise ChildUnavailable(f"{died} before it was ready") from None
        except OSError as error:
            await self._end(link)
            raise ChildRefused(f"the handler's process could not be started: {error}") from error
        except BaseException:
            await self._end(link)
            raise
        finally:
            if control:
                control.close()
        if answer.kind != "ready":
            self._let_go(link)
            raise HandlerNotFound(answer.text)
        return link, None

    async def _end(self, link: Link) -> CrewlineError:
        """Ends a child whose exchange did not end cleanly; returns what to say where it ended by itself."""
        # where its line has ended, its exit code is the news
        by_itself = link.dead and not link.killed and await link.ended(EXIT_CODE_SECONDS)
        link.kill()
        if await link.ended(KILL_SECONDS):
            self._discard(link)
        if self._closed:
            return ChildUnavailable("the worker has stopped: the handler's process was killed")
        if isinstance(link.process, Copy) and link.process.unmade:
            return ChildUnavailable("the process that the handler's was copied from has ended")
        return ChildDied(link.process.returncode if link.process and by_itself else None)

    def _let_go(self, link: Link) -> None:
        """Lets a child end by itself; it is killed if it does not."""
        link.hang_up()
        leaving = asyncio.create_task(self._see_off(link))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _see_off(self, link: Link) -> None:
        if not await link.ended(EXIT_SECONDS):
            await self._end(link)
        self._discard(link)

    def _discard(self, link: Link) -> None:
        self._links.discard(link)
        link.release()


def importable(call: Callable[..., Any]) -> bool:
    """Whether a child process can find a handler; see `spec_of`."""
    try:
        spec_of(call)
    except InvalidOption:
        return False
    return True


def spec_of(call: Callable[..., Any]) -> str:
    """The ``module:function`` by which a child finds a handler.

    Its module must hold it, under its own name, at the top level or in a class there. In the program's main file it is
    found only if the file says what a child must not run; see mainfile.py.

    Raises:
        InvalidOption: it can't be found so.
    """
    module, name = getattr(call, "__module__", None), getattr(call, "__qualname__", "")
    with contextlib.suppress(AttributeError, KeyError):
        found: Any = sys.modules[module or ""]
        for part in name.split("."):
            found = getattr(found, part)
        if module == "__main__":
            module = mainfile.name_of_main()
        if found is call and module:
            return f"{module}:{name}"
    raise InvalidOption(
        f"handler {name or call!r} can't run in a process: put it at the top level of a module that can be imported, or"
        " of a main file that starts its program below: if __name__ == '__main__'"
    )


def _content(job: Job) -> bytes:
    # data as the worker's job has it, not as Redis does: a hook may have changed it for the handler
    fields = {key: value for key, value in job._fields.items() if key not in (b"data", b"opts")}
    try:
        return pickle.dumps((job.name, job.data, job.opts, job._started, fields), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise InvalidPayload(f"job {job.id} can't be sent to a process: {type(error).__name__}: {error}") from error
