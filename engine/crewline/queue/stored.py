"""What Redis holds of a job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from crewline.queue.by_id import ById
from crewline.wire import jsonio
from crewline.wire.options import says_attempts
from crewline.wire.text import lenient, number, text

_UNSET = object()


class StoredJob:
    """A job as it was told of when it was read; see `Job` for what each attribute is."""

    # decoded when looked at: a worker makes tens of thousands of jobs a second, and a handler looks at little
    __slots__ = ("_fields", "_progress", "_queue", "_started", "_token", "added", "data", "id", "name", "opts")

    def __init__(
        self,
        queue: ById,
        job_id: str,
        name: str,
        data: Any,
        opts: dict[str, Any],
        token: str = "",
        started: str = "",
        fields: Mapping[bytes, Any] | None = None,
    ) -> None:
        self.added = True
        self._queue = queue
        # what fences a handler's writes: the lease's token, and which start of the job it was
        self._token = token
        self._started = started
        self._fields: Mapping[bytes, Any] = fields or {}
        self._progress: Any = _UNSET
        self.id = job_id
        self.name = name
        self.data = data
        self.opts = opts

    def __repr__(self) -> str:
        return f"<Job {self._queue.name}/{self.id} {self.name!r}>"

    @classmethod
    def from_hash(
        cls, queue: ById, job_id: str, fields: Mapping[bytes, Any], token: str = "", started: str = ""
    ) -> Self:
        """A job from its hash; raises InvalidPayload if its data can't be decoded."""
        encoded = fields.get(b"data")
        data = jsonio.loads(encoded, f"data of job {job_id}") if encoded else {}
        return cls._from(queue, job_id, fields, data, token, started)

    @classmethod
    def shown(cls, queue: ById, job_id: str, fields: Mapping[bytes, Any]) -> Self:
        """A job from its hash, to be looked at only: data that is no JSON is the text that it is."""
        encoded = fields.get(b"data")
        return cls._from(queue, job_id, fields, lenient(encoded) if encoded else {})

    @classmethod
    def _from(
        cls, queue: ById, job_id: str, fields: Mapping[bytes, Any], data: Any, token: str = "", started: str = ""
    ) -> Self:
        return cls(
            queue, job_id, text(fields.get(b"name", b"")), data, queue.decode_opts(fields.get(b"opts")), token, started,
            fields,
        )  # fmt: skip

    @property
    def timestamp_ms(self) -> int:
        return number(self._fields.get(b"timestamp"))

    @property
    def priority(self) -> int:
        return number(self._fields.get(b"priority"))

    @property
    def attempts_made(self) -> int:
        return number(self._fields.get(b"atm"))

    @property
    def attempts_started(self) -> int:
        return number(self._fields.get(b"ats"))

    @property
    def stalled_count(self) -> int:
        return number(self._fields.get(b"stc"))

    @property
    def crashes(self) -> int:
        """How often it took down a process that ran nothing but it."""
        return number(self._fields.get(b"crashes"))

    @property
    def processed_on_ms(self) -> int | None:
        value = self._fields.get(b"processedOn")
        return number(value) if value else None

    @property
    def progress_value(self) -> Any:
        if self._progress is _UNSET:
            value = self._fields.get(b"progress")
            self._progress = lenient(value) if value else 0
        return self._progress

    @property
    def parent_key(self) -> str | None:
        value = self._fields.get(b"parentKey")
        return text(value) if value else None

    @property
    def return_value(self) -> Any:
        value = self._fields.get(b"returnvalue")
        return lenient(value) if value else None

    @property
    def failed_reason(self) -> str | None:
        value = self._fields.get(b"failedReason")
        return None if value is None else text(value)

    @property
    def finished_on_ms(self) -> int | None:
        value = self._fields.get(b"finishedOn")
        return number(value) if value else None

    @property
    def stacktrace(self) -> list[str]:
        value = self._fields.get(b"stacktrace")
        traces = lenient(value) if value else []
        return traces if isinstance(traces, list) else []

    @property
    def dead_letter_id(self) -> str | None:
        value = self._fields.get(b"deadLetterId")
        return text(value) if value else None

    @property
    def queue_name(self) -> str:
        return self._queue.name

    @property
    def attempts(self) -> int:
        """How many attempts it may make in all; 1 or more.

        Of a job that says nothing of them, the queue's settings do: its handler is told what they say, others 1.
        """
        default = self._queue.default_attempts
        if default is not None and not says_attempts(self.opts):
            return default
        return max(number(self.opts.get("attempts"), 1), 1)

    @property
    def trace(self) -> str | None:
        """The trace context it was added with, None if it had none."""
        trace = self.opts.get("tm")
        return trace if isinstance(trace, str) else None


def stored_size(job: StoredJob, *fields: bytes) -> int:
    """The bytes that Redis holds in these fields of the job, as it told when that was read."""
    return sum(len(job._fields.get(field, b"")) for field in fields)


def opts_as_stored(job: StoredJob) -> Mapping[str, Any] | str:
    """The job's options, the text that is stored where they can't be read."""
    stored = text(job._fields.get(b"opts", b""))
    return job.opts if job.opts or not stored or lenient(stored) == {} else stored
