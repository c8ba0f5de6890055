"""A job, as a producer sees it and as a handler gets it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from crewline import jsonio
from crewline.connection import text
from crewline.errors import CrewlineError, InvalidPayload, JobNotFound, LeaseLost
from crewline.events import Update

if TYPE_CHECKING:
    from crewline.queue import Queue

#: The job hash's fields in the order in which finish_and_fetch returns them (scripts/lib/lease_jobs.lua).
FIELDS = (
    "name", "data", "opts", "timestamp", "delay", "priority", "atm", "ats", "stc", "defa",
    "parentKey", "rjk", "deid", "progress", "processedOn", "suspect",
)  # fmt: skip

#: Further fields that only a reader of finished jobs wants.
FINISHED_FIELDS = ("returnvalue", "failedReason", "finishedOn", "stacktrace", "deadLetterId")

#: Milliseconds of a lease that a handler's own call takes again; the worker's renewals go on from there.
LEASE_MS = 30_000

#: Log lines that a job keeps when its options say nothing.
MAX_LOG_LINES = 1000


def printable(value: str) -> str:
    """Text that can be sent: what is no Unicode text (lone surrogates) becomes ``?``."""
    return value if value.isascii() else value.encode(errors="replace").decode()


def _number(value: Any, default: int = 0) -> int:
    """A number off the wire; a foreign client may have written anything."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        try:
            return int(float(value))
        except (TypeError, ValueError, OverflowError):
            return default


class Job:
    """One job.

    Attributes:
        id: its id in the queue; a number as text unless the producer chose one.
        name: what kind of job it is.
        data: its payload, decoded from JSON.
        opts: its options as BullMQ writes them (attempts, backoff, removeOnComplete, …).
        timestamp_ms: when it was added, epoch milliseconds.
        priority: 0, or 1 (first) .. 2097151.
        attempts_made: attempts that have ended.
        attempts_started: attempts that were begun, this one included.
        stalled_count: how often its worker died or went silent under it.
        progress_value: what was last set by `progress`; 0 before.
        return_value, failed_reason, finished_on_ms: how it ended, None before.
    """

    __slots__ = (
        "_queue", "_token", "attempts_made", "attempts_started", "data", "dead_letter_id", "failed_reason",
        "finished_on_ms", "id", "name", "opts", "parent_key", "priority", "processed_on_ms", "progress_value",
        "return_value", "stacktrace", "stalled_count", "timestamp_ms",
    )  # fmt: skip

    def __init__(self, queue: Queue, job_id: str, name: str, data: Any, opts: dict[str, Any], token: str = "") -> None:
        self._queue = queue
        self._token = token
        self.id = job_id
        self.name = name
        self.data = data
        self.opts = opts
        self.timestamp_ms = 0
        self.priority = 0
        self.attempts_made = 0
        self.attempts_started = 0
        self.stalled_count = 0
        self.processed_on_ms: int | None = None
        self.progress_value: Any = 0
        self.parent_key: str | None = None
        self.return_value: Any = None
        self.failed_reason: str | None = None
        self.finished_on_ms: int | None = None
        self.stacktrace: list[str] = []
        self.dead_letter_id: str | None = None

    def __repr__(self) -> str:
        return f"<Job {self._queue.name}/{self.id} {self.name!r}>"

    @classmethod
    def from_fields(cls, queue: Queue, job_id: str, values: Sequence[Any], token: str = "") -> Job:
        """A job from its hash: values of FIELDS, and of FINISHED_FIELDS where they were read.

        Raises InvalidPayload if its data can't be decoded.
        """
        name = text(values[0]) if values[0] is not None else ""
        data = jsonio.loads(values[1], f"data of job {job_id}") if values[1] else {}
        job = cls(queue, job_id, name, data, queue.decode_opts(values[2]), token)
        job.timestamp_ms = _number(values[3])
        job.priority = _number(values[5])
        job.attempts_made = _number(values[6])
        job.attempts_started = _number(values[7])
        job.stalled_count = _number(values[8])
        job.parent_key = text(values[10]) if values[10] else None
        if values[13]:
            job.progress_value = _lenient(values[13])
        job.processed_on_ms = _number(values[14]) if values[14] else None
        if len(values) > len(FIELDS):
            returned, reason, finished, stack, letter = values[len(FIELDS) :]
            job.return_value = _lenient(returned) if returned else None
            job.failed_reason = text(reason) if reason is not None else None
            job.finished_on_ms = _number(finished) if finished else None
            traces = _lenient(stack) if stack else []
            job.stacktrace = traces if isinstance(traces, list) else []
            job.dead_letter_id = text(letter) if letter else None
        return job

    @property
    def queue_name(self) -> str:
        return self._queue.name

    @property
    def attempts(self) -> int:
        """How many attempts it may make in all; 1 or more."""
        return max(_number(self.opts.get("attempts"), 1), 1)

    async def progress(self, value: Any) -> None:
        """Sets the job's progress: any JSON, by custom a number of percent or ``{"done": 3, "of": 10}``.

        Raises:
            InvalidPayload: not strict JSON.
            LeaseLost: another worker has the job now.
            JobNotFound: it was removed.
        """
        encoded = jsonio.dumps(value, "progress")
        await self._write(lambda: self._queue.scripts.update_progress(self.id, encoded, self._token))
        self.progress_value = value

    async def log(self, line: str) -> int:
        """Appends a line to the job's log; returns how many lines it holds. Raises as `progress` does."""
        most = max(_number(self.opts.get("kl"), MAX_LOG_LINES), 1)
        printed = printable(str(line))
        return await self._write(lambda: self._queue.scripts.append_log(self.id, printed, most, self._token))

    async def extend(self, seconds: float) -> None:
        """Makes the lease at least ``seconds`` long, for a stretch in which nothing can renew it (a call into C).

        Raises LeaseLost if another worker has the job now.
        """
        if await self._queue.scripts.extend_leases(round(seconds * 1000), self.id, self._token, self.attempts_started):
            self._check(-6)

    async def logs(self) -> list[str]:
        """The job's log, oldest line first."""
        lines = await self._queue.redis.lrange(self._queue.keys.job(self.id) + ":logs", 0, -1)
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
        """
        return await self._queue.wait_for_result(self.id, timeout)

    @property
    def trace(self) -> str | None:
        """The trace context it was added with, None if it had none."""
        trace = self.opts.get("tm")
        return trace if isinstance(trace, str) else None

    async def children_values(self) -> dict[str, Any]:
        """What the children of this job returned, by ``<prefix>:<queue>:<id>``."""
        values = await self._queue.redis.hgetall(self._queue.keys.job(self.id) + ":processed")
        return {text(key): _lenient(value) for key, value in values.items()}

    async def children_failures(self) -> dict[str, str]:
        """Why children failed that this job was told to ignore or to go on without, by key."""
        reasons = await self._queue.redis.hgetall(self._queue.keys.job(self.id) + ":failed")
        return {text(key): text(reason) for key, reason in reasons.items()}

    async def forget_children(self) -> int:
        """Stops waiting for children that have not ended (a parent that runs although one failed); returns how many."""
        key = self._queue.keys.job(self.id) + ":dependencies"
        count = int(await self._queue.redis.scard(key))
        await self._queue.redis.delete(key)
        return count

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

    async def remove(self) -> bool:
        """Deletes the job; False if a worker runs it now."""
        return await self._queue.remove(self.id)

    async def _write(self, call: Callable[[], Awaitable[int]]) -> int:
        """Makes a call that the lease fences; one that ran out is taken again if nobody has the job since."""
        code = await call()
        if code == -6 and not await self._queue.scripts.extend_leases(
            LEASE_MS, self.id, self._token, self.attempts_started
        ):
            code = await call()
        return self._check(code)

    def _check(self, code: int) -> int:
        if code == -1:
            raise JobNotFound(f"job {self.id} is not in queue {self._queue.name!r} any more: it was removed")
        if code == -6:
            raise LeaseLost(f"the lease on job {self.id} is lost: another worker runs it now, stop this run")
        if code < 0:
            raise CrewlineError(f"job {self.id} answered {code}")
        return code


def _lenient(field: Any) -> Any:
    """JSON that another client wrote into a field nobody's work depends on; its text if it is none."""
    try:
        return jsonio.loads(field, "field")
    except InvalidPayload:
        return text(field)
