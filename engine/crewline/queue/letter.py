"""One dead letter, and which of them somebody means."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from typing import Any

from crewline.errors import InvalidOption, InvalidPayload
from crewline.wire import jsonio
from crewline.wire.checks import check_string, is_number
from crewline.wire.text import text


@dataclass(frozen=True)
class DeadLetter:
    """One dead job.

    Attributes:
        id: the letter's own id in the dead-letter queue.
        queue, job_id, name: the job it tells of.
        reason: why it failed at last.
        stack: its stack traces, oldest attempt first.
        attempts: how many attempts it had.
        failed_at_ms: when it failed, epoch milliseconds by Redis' clock.
        data, options: what the job was added with.
    """

    id: str
    queue: str
    job_id: str
    name: str
    reason: str
    stack: list[str]
    attempts: int
    failed_at_ms: int
    data: Any
    options: dict[str, Any]

    @classmethod
    def from_data(cls, letter_id: str, data: Any) -> DeadLetter:
        """A letter from its job's data; raises InvalidPayload if another program wrote it."""
        # its parts are verbatim what a foreign client wrote, which may be no text
        body = jsonio.loads(text(data), f"dead letter {letter_id}")
        if not (isinstance(body, dict) and isinstance(body.get("queue"), str) and isinstance(body.get("jobId"), str)):
            raise InvalidPayload(f"job {letter_id} is no dead letter: it has no queue and jobId")
        stack, options = body.get("stack"), body.get("options")
        return cls(
            letter_id, body["queue"], body["jobId"], str(body.get("name", "")), str(body.get("reason", "")),
            [str(trace) for trace in stack] if isinstance(stack, list) else [], _whole(body.get("attempts")),
            _whole(body.get("failedAt")), body.get("data"), options if isinstance(options, dict) else {},
        )  # fmt: skip


@dataclass(frozen=True)
class Filter:
    """Which letters are meant; all that is given must hold.

    Args:
        name: the job's name.
        reason: a part of the reason, in any case.
        since, until: aware datetimes between which it failed.
        text: a part of the job's data as JSON.
    """

    name: str | None = None
    reason: str | None = None
    since: datetime.datetime | None = None
    until: datetime.datetime | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        for name in ("name", "reason", "text"):
            if (value := getattr(self, name)) is not None:
                check_string(value, name)
        for name in ("since", "until"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, datetime.datetime) or value.tzinfo is None):
                raise InvalidOption(f"{name} {value!r} must be an aware datetime, e.g. datetime.now(UTC)")

    def matches(self, letter: DeadLetter) -> bool:
        failed_at = letter.failed_at_ms / 1000
        return (
            (self.name is None or letter.name == self.name)
            and (self.reason is None or self.reason.casefold() in letter.reason.casefold())
            and (self.since is None or failed_at >= self.since.timestamp())
            and (self.until is None or failed_at <= self.until.timestamp())
            and (self.text is None or self.text in json.dumps(letter.data, ensure_ascii=False))
        )


def _whole(value: Any) -> int:
    """A number of a letter; 0 for what another program wrote there."""
    return int(value) if is_number(value) and abs(value) < 1e15 else 0
