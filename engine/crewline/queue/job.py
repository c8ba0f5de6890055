"""A job, as a producer sees it and as a handler gets it."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Self

from redis.exceptions import RedisError

from crewline.errors import CrewlineError, JobNotFound, LeaseLost
from crewline.queue.by_id import ById
from crewline.queue.events import Update
from crewline.queue.stored import StoredJob
from crewline.redis.refusals import is_full
from crewline.wire import jsonio
from crewline.wire.checks import A_MILLISECOND, check_seconds
from crewline.wire.text import bounded, lenient, number, text

#: Log lines that a job keeps when its options say nothing.
MAX_LOG_LINES = 1000
#: Characters of a line.
MAX_LINE = 65_536
#: Seconds between two lines of this process' log that say what is left out for want of room.
LEFT_OUT_SECONDS = 30.0

log = logging.getLogger("crewline.queue")
_left_out_at = float("-inf")


class Job(StoredJob):
    """One job.

    Attributes:
        id: its id in the queue; a number as text unless the producer chose one.
        name: what kind of job it is.
        data: its payload, decoded from JSON.
        opts: its options as BullMQ writes them (attempts, backoff, removeOnComplete, …); read-only.
        added: False if the `Queue.add` that returned it stored nothing, since a job with its id or its deduplication
            id was there: this is that job, with what is stored of it.
        timestamp_ms: when it was added, epoch milliseconds.
        priority: 0, or 1 (first) .. 2097151.
        attempts_made: attempts that have ended.
        attempts_started: attempts that were begun, this one included.
        stalled_count: how often its worker died or went silent under it.
        crashes: how often it took down a process that ran nothing but it.
        progress_value: what was last set by `progress`; 0 before.
        return_value, failed_reason, finished_on_ms: how it ended, None before.
    """

    __slots__ = ()

    def through(self, queue: ById) -> Self:
        """The same job, over the connections of another object of the same Redis and prefix."""
        other = copy.copy(self)
        other._queue = queue.beside(self._queue.name)
        return other

    async def progress(self, value: Any) -> None:
        """Sets the job's progress: any JSON, by custom a number of percent or ``{"done": 3, "of": 10}``.

        In a handler whose Redis is full, nothing is set, which is logged: it helps whoever looks, and fails no job.

        Raises:
            InvalidPayload: not strict JSON.
            LeaseLost: another worker has the job now.
            JobNotFound: it was removed.
        """
        encoded = jsonio.dumps(value, "progress")
        written = await self._note(lambda: self._queue.scripts.update_progress(self.id, encoded, self._token))
        if written is not None:
            self._progress = value

    async def log(self, line: str) -> int:
        """Appends a line to the job's log; returns how many lines it holds.

        Raises as `progress` does, and leaves the line out where that does.

        Of a line, `MAX_LINE` characters are kept.
        """
        most = max(number(self.opts.get("kl"), MAX_LOG_LINES), 1)
        printed = bounded(str(line), MAX_LINE)
        lines = await self._note(lambda: self._queue.scripts.append_log(self.id, printed, most, self._token))
        return await self._queue.redis.llen(self._queue.keys.job(self.id) + ":logs") if lines is None else lines

    async def extend(self, seconds: float) -> None:
        """Makes the lease at least ``seconds`` long, for a stretch in which nothing can renew it (a call into C).

        Raises LeaseLost if another worker has the job now, InvalidOption for what is no time.
        """
        lease_ms = round(check_seconds(seconds, "seconds", A_MILLISECOND) * 1000)
        if await self._queue.scripts.extend_leases(lease_ms, self.id, self._token, self._started):
            self._check(-6)

    async def logs(self) -> list[str]:
        """The job's log, oldest line first."""
        lines = await self._queue.read_list(self._queue.keys.job(self.id) + ":logs")
        return [text(line) for line in lines]

    async def state(self) -> str:
        """``waiting``, ``active``, ``delayed``, ``completed``, ``failed``, ``waiting-children`` or ``unknown``."""
        return await self._queue.job_state(self.id)

    async def result(self, timeout: float | None = None) -> Any:
        """Waits until the job has ended and returns what its handler returned.

        Args:
            timeout: seconds to wait at most; None for ever.

        Raises:
            JobFailed: it failed for good; the message is its reason.
            JobNotFound: it does not exist (any more).
            TimeoutError: it had not ended by then.
            InvalidOption: a timeout that is negative or no number.
        """
        return await self._queue.wait_for_result(self.id, timeout)

    async def children_values(self) -> dict[str, Any]:
        """What the children of this job returned, by ``<prefix>:<queue>:<id>``."""
        values = await self._queue.read_hash(self._queue.keys.job(self.id) + ":processed")
        return {text(key): lenient(value) for key, value in values.items()}

    async def children_failures(self) -> dict[str, str]:
        """Why children failed that this job was told to ignore or to go on without, by key."""
        reasons = await self._queue.read_hash(self._queue.keys.job(self.id) + ":failed")
        return {text(key): text(reason) for key, reason in reasons.items()}

    async def forget_children(self) -> int:
        """Stops waiting for children that have not ended (a parent that runs although one failed); returns how many.

        Raises as `progress` does, and CrewlineError if the parent does not run: one that waits for its children is let
        go by the last of them.
        """
        return await self._write(lambda: self._queue.scripts.forget_children(self.id, self._token))

    async def cancel(self, reason: str = "cancelled") -> bool:
        """Ends the job from outside; see `Queue.cancel`."""
        return await self._queue.cancel(self.id, reason)

    async def retry(self, *, fresh: bool = True) -> None:
        """Runs the finished job again; see `Queue.retry`."""
        await self._queue.retry(self.id, fresh=fresh)

    async def promote(self) -> None:
        """Lets the delayed job run now; see `Queue.promote`."""
        await self._queue.promote(self.id)

    def watch(self) -> AsyncIterator[Update]:
        """Yields the job's state and progress now and at each change, and ends when it has ended or was removed."""
        return self._queue.watch(self.id)

    async def remove(self, *, children: bool = True) -> bool:
        """Deletes the job, and a flow's jobs below it; False if a worker runs one of them now."""
        return await self._queue.remove(self.id, children=children)

    async def _note(self, call: Callable[[], Awaitable[int]]) -> int | None:
        """Writes what only helps whoever looks; None where it is left out."""
        global _left_out_at
        try:
            return await self._write(call)
        except RedisError as error:
            if not (self._token and is_full(error)):
                raise
            now = time.monotonic()
            if now - _left_out_at > LEFT_OUT_SECONDS:
                _left_out_at = now
                log.warning("Redis is full: progress and log lines of jobs that run are left out (%s)", error)
            return None

    async def _write(self, call: Callable[[], Awaitable[int]]) -> int:
        """Makes a call that the lease fences; one that ran out is taken again if nobody has the job since."""
        code = await call()
        if code == -6 and not await self._queue.scripts.extend_leases(
            self._queue.lease_ms, self.id, self._token, self._started
        ):
            code = await call()
        return self._check(code)

    def _check(self, code: int) -> int:
        if code == -1:
            raise JobNotFound(f"job {self.id} is not in queue {self._queue.name!r} any more: it was removed")
        if code == -6:
            lost = f"the lease on job {self.id} is lost: another worker runs it now, stop this run"
            raise LeaseLost(lost, (self.id, self._token))
        if code == -3:
            raise CrewlineError(f"job {self.id} of queue {self._queue.name!r} does not run: nothing was changed")
        if code < 0:
            raise CrewlineError(f"job {self.id} answered {code}")
        return code
