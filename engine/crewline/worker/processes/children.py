"""The child processes of a worker, and which of them runs a job.

A child serves one job at a time and is kept for the next one, unless its exchange did not end cleanly: a timeout, a
cancellation, any error in between, or an answer for another run ends the child. So nothing that is left on a line can
become another job's result. A child that dies takes the attempt with it of the job that it has begun, never the worker.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable

from crewline.errors import InvalidPayload
from crewline.queue.job import Job
from crewline.worker.handlers.targets import Target
from crewline.worker.processes.answers import ChildRefused, ChildUnavailable, Returned, outcome
from crewline.worker.processes.link import Hangup, Link
from crewline.worker.processes.living import KILL_SECONDS, Living
from crewline.worker.processes.messages import Answer, Request, Where
from crewline.worker.processes.specs import spec_of
from crewline.worker.processes.starting import START_SECONDS, Starter

log = logging.getLogger("crewline.worker")

#: Children that a job is given to, one after the other, where each dies before it begins.
MOST_TRIED = 3


class Children:
    """The child processes of one worker.

    Args:
        where: the queue, for the children's own connections.
        size: how many are kept for the next job at most, with those that run one.
        start_seconds: how long a child may take until it is ready.
    """

    def __init__(self, where: Where, size: int, start_seconds: float = START_SECONDS) -> None:
        self._size = size
        self._living = Living()
        self._starter = Starter(self._living, where, start_seconds)
        self._idle: list[Link] = []
        self._serving = 0

    @property
    def copying(self) -> bool:
        """Whether children that run one job alone are copied: they come in milliseconds, and share their memory."""
        return self._starter.copying

    def on_copying(self, callback: Callable[[], None]) -> None:
        """``callback`` is called once they are."""
        self._starter.on_copying = callback

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
        # from now on: what its child is copied from is needed as soon as that is there
        self._count(alone, 1)
        try:
            link, answer = await self._ask(job, request, timeout, alone)
        finally:
            self._count(alone, -1)
        if alone:
            self._living.let_go(link)
        else:
            self._idle.append(link)
            self._shrink()
        return outcome(answer)

    async def _ask(self, job: Job, request: Request, timeout: float | None, alone: bool) -> tuple[Link, Answer]:
        tried = 0
        while True:
            tried += 1
            link = await (self._starter.copy(request.spec) if alone else self._take(request.spec))
            try:
                link.oom_kills = self._living.memory.kills()
                async with asyncio.timeout(timeout):
                    answer = await link.exchange(request)
                if (answer.job_id, answer.token) != (request.job_id, request.token):
                    raise Hangup("its answer is for another run")
                if answer.kind == "unable":
                    raise ChildRefused(f"the handler's process could not begin: {answer.text}")
                return link, answer
            except (TimeoutError, Hangup) as error:
                ended = await self._living.end(link)
                late = isinstance(error, TimeoutError)
                if late and link.begun:
                    raise TimeoutError(f"timed out after {timeout:g} s: its process was killed") from None
                if link.begun or self._living.closed:
                    raise ended from None
                if late and tried == MOST_TRIED:
                    raise TimeoutError(f"timed out after {timeout:g} s: its process had not begun with it") from None
                if tried == MOST_TRIED:
                    # none of them has run anything of the job's
                    raise ChildUnavailable(
                        f"{MOST_TRIED} processes, one after the other, ended before they began: {ended}"
                    ) from None
                log.warning(
                    "job %s of queue %s: %s: another runs it",
                    job.id, job.queue_name,
                    f"a process had not begun with it after {timeout:g} s" if late else f"{ended} before it began",
                )  # fmt: skip
            except BaseException:
                await self._living.end(link)
                raise

    def resize(self, size: int) -> None:
        """Sets how many are kept; those above it end once they are idle."""
        self._size = size
        self._shrink()

    def _shrink(self) -> None:
        while self._idle and len(self._idle) + self._serving > self._size:
            # the one that rested longest
            self._living.let_go(self._idle.pop(0))

    def close(self) -> None:
        """Kills all children, also in the middle of a run, which ends as ChildUnavailable."""
        self._idle.clear()
        self._living.close()
        self._starter.close()

    async def wait_closed(self, seconds: float = KILL_SECONDS) -> bool:
        """Waits until all children have ended, after `close`; False if one has not within so many seconds."""
        return await self._living.wait_closed(seconds)

    def _count(self, alone: bool, one: int) -> None:
        if alone:
            self._starter.needs_copies(one)
        else:
            self._serving += one

    async def _take(self, spec: str) -> Link:
        while self._idle:
            link = self._idle.pop()
            if not link.gone:
                return link
            # it died between two jobs
            self._living.let_go(link)
        return await self._starter.start(spec)


def _content(job: Job) -> bytes:
    # data as the worker's job has it, not as Redis does: a hook may have changed it for the handler
    fields = {key: value for key, value in job._fields.items() if key not in (b"data", b"opts")}
    try:
        content = (job.name, job.data, job.opts, job._started, fields, job._queue.default_attempts)
        return pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise InvalidPayload(f"job {job.id} can't be sent to a process: {type(error).__name__}: {error}") from error
