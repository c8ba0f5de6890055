"""A job's options: checked before anything is sent, and written as BullMQ reads them."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Any

from crewline import jsonio
from crewline.backoff import DEFAULT_BACKOFF, Backoff
from crewline.errors import InvalidOption

#: BullMQ's largest priority: a score is priority * 2^32 and has to stay an exact double.
MAX_PRIORITY = 2**21 - 1

_integer = re.compile(r"-?\d+\Z")


@dataclass(frozen=True)
class Keep:
    """How long finished jobs stay.

    Args:
        count: the newest that are kept; None for all.
        age_seconds: the oldest that is kept, in seconds; None for any age.
    """

    count: int | None = None
    age_seconds: int | None = None

    def to_script(self) -> str:
        """As the ``keep`` argument of finish_and_fetch."""
        if self.count == 0:
            return "0"
        if self.count is None and self.age_seconds is None:
            return ""
        return f"{'' if self.count is None else self.count},{'' if self.age_seconds is None else self.age_seconds}"


#: Retention when neither the job nor the worker says otherwise.
KEEP_COMPLETED = Keep(count=1000, age_seconds=24 * 3600)
KEEP_FAILED = Keep(age_seconds=7 * 24 * 3600)


def check_job_id(job_id: object) -> str:
    """Returns a custom id that BullMQ accepts, else raises InvalidOption."""
    if not isinstance(job_id, str) or not job_id:
        raise InvalidOption(f"job_id {job_id!r} must be a string that is not empty")
    if _integer.match(job_id):
        raise InvalidOption(f"job_id {job_id!r} must not be a number (the queue's counter gives those): add a prefix")
    if ":" in job_id:
        raise InvalidOption(f"job_id {job_id!r} must not contain ':' (it parts Redis keys): use '-' or '.'")
    return job_id


def check_priority(priority: object) -> int:
    """Returns a priority in range, else raises InvalidOption."""
    if not isinstance(priority, int) or isinstance(priority, bool) or not 0 <= priority <= MAX_PRIORITY:
        raise InvalidOption(
            f"priority {priority!r} must be an integer from 0 (before all others), 1 (first) to {MAX_PRIORITY}"
        )
    return priority


def delay_to_script(delay: float | datetime.timedelta | datetime.datetime) -> str:
    """As the ``delay`` argument of add_jobs: milliseconds from now, or ``@`` and an absolute epoch in ms."""
    if isinstance(delay, datetime.datetime):
        if delay.tzinfo is None:
            raise InvalidOption(f"delay {delay!r} has no time zone: pass an aware datetime, e.g. datetime.now(UTC)")
        return f"@{round(delay.timestamp() * 1000)}"
    seconds = delay.total_seconds() if isinstance(delay, datetime.timedelta) else delay
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < 1e10:
        raise InvalidOption(f"delay {delay!r} must be 0 or more seconds, a timedelta or an aware datetime")
    return str(round(seconds * 1000))


def keep_to_wire(keep: Keep | bool | int | None, what: str) -> bool | int | dict[str, int] | None:
    """As BullMQ's ``removeOnComplete`` / ``removeOnFail``."""
    if keep is None or isinstance(keep, bool):
        return keep
    if isinstance(keep, int) and keep >= 0:
        return keep
    if isinstance(keep, Keep):
        wire = {"count": keep.count, "age": keep.age_seconds}
        return {key: value for key, value in wire.items() if value is not None}
    raise InvalidOption(f"{what} {keep!r} must be True (remove at once), False (keep), a count, or Keep(...)")


def keep_from_wire(value: Any, default: Keep) -> str:
    """The ``keep`` argument for a finished job with this ``removeOnComplete``/``removeOnFail`` off the wire."""
    if value is True:
        return "0"
    if value is False:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return Keep(count=value).to_script() if value >= 0 else ""
    if isinstance(value, dict):
        count, age = value.get("count"), value.get("age")
        return Keep(
            count=count if isinstance(count, int) and count >= 0 else None,
            age_seconds=int(age) if isinstance(age, int | float) and age >= 0 else None,
        ).to_script()
    return default.to_script()


def encode_job(
    name: object,
    data: Any,
    *,
    what: str = "",
    job_id: str | None = None,
    delay: float | datetime.timedelta | datetime.datetime = 0,
    priority: int = 0,
    lifo: bool = False,
    attempts: int = 3,
    backoff: Backoff | float | None = DEFAULT_BACKOFF,
    remove_on_complete: Keep | bool | int | None = None,
    remove_on_fail: Keep | bool | int | None = None,
    max_payload_bytes: int = jsonio.MAX_PAYLOAD_BYTES,
) -> tuple[str, str, str, str, str, str, str]:
    """One job as the seven arguments of add_jobs. ``what`` is put before an error's text."""
    if not isinstance(name, str) or not name:
        raise InvalidOption(f"{what}name {name!r} must be a string that is not empty")
    text = jsonio.dumps(data, f"{what}data", max_payload_bytes)
    try:
        if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
            raise InvalidOption(f"attempts {attempts!r} must be an integer of 1 or more")
        opts: dict[str, Any] = {"attempts": attempts}
        if isinstance(backoff, int | float) and not isinstance(backoff, bool):
            backoff = Backoff("fixed", backoff, 0)
        if backoff is not None:
            if not isinstance(backoff, Backoff):
                raise InvalidOption(f"backoff {backoff!r} must be a Backoff, a number of seconds, or None")
            opts["backoff"] = backoff.to_wire()
        if job_id is not None:
            opts["jobId"] = check_job_id(job_id)
        if check_priority(priority):
            opts["priority"] = priority
        if lifo:
            opts["lifo"] = True
        delay_argument = delay_to_script(delay)
        if delay_argument[0] != "@" and delay_argument != "0":
            opts["delay"] = int(delay_argument)
        for key, keep, option in (
            ("removeOnComplete", remove_on_complete, "remove_on_complete"),
            ("removeOnFail", remove_on_fail, "remove_on_fail"),
        ):
            wire = keep_to_wire(keep, option)
            if wire is not None:
                opts[key] = wire
    except InvalidOption as error:
        raise InvalidOption(f"{what}{error}") from None
    return (job_id or "", name, text, jsonio.dumps(opts, "options"), delay_argument, str(priority), "1" if lifo else "")
