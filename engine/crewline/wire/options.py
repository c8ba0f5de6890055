"""A job's options: checked before anything is sent, and written as BullMQ reads them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from crewline.errors import InvalidOption
from crewline.wire import jsonio
from crewline.wire.backoff import DEFAULT_BACKOFF, Backoff

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


@dataclass(frozen=True)
class Dedup:
    """One job stands for all that are added with the same id.

    Args:
        id: what makes two jobs the same.
        ttl_seconds: how long the id holds (throttle); None: until the job has ended.
        extend: each job that is left out prolongs ``ttl_seconds`` (debounce).
        replace: a newer job takes the place of one that is still delayed (debounce, the last one wins).
        keep_last_if_active: the last of those that come while the job runs is run after it.
    """

    id: str
    ttl_seconds: float | None = None
    extend: bool = False
    replace: bool = False
    keep_last_if_active: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not self.id:
            raise InvalidOption(f"dedup id {self.id!r} must be a string that is not empty")
        if self.ttl_seconds is not None and not 0.001 <= self.ttl_seconds < 1e9:
            raise InvalidOption(f"dedup ttl_seconds {self.ttl_seconds!r} must be more than 0")
        if self.extend and self.ttl_seconds is None:
            raise InvalidOption("dedup extend needs ttl_seconds: there is nothing to prolong without it")

    def to_wire(self) -> dict[str, Any]:
        wire: dict[str, Any] = {"id": self.id}
        if self.ttl_seconds is not None:
            wire["ttl"] = round(self.ttl_seconds * 1000)
        for flag, key in (("extend", "extend"), ("replace", "replace"), ("keep_last_if_active", "keepLastIfActive")):
            if getattr(self, flag):
                wire[key] = True
        return wire


class Shape(NamedTuple):
    """All of a job but its id and its data, encoded: what many jobs of a producer share, and add_jobs takes once."""

    name: str
    opts: str
    delay: str
    priority: str
    lifo: str
    extra: str


class Encoded(NamedTuple):
    """One job, checked and encoded. The id is '' for the next number of the queue's counter."""

    job_id: str
    data: str
    shape: Shape


def encode_job(
    name: object,
    data: Any,
    *,
    what: str = "",
    max_payload_bytes: int = jsonio.MAX_PAYLOAD_BYTES,
    **options: Any,
) -> Encoded:
    """Checks one job and encodes it.

    Args:
        what: put before an error's text.
        options: as `encode_shape` takes them.
    """
    try:
        job_id, shape = encode_shape(name, **options)
    except InvalidOption as error:
        raise InvalidOption(f"{what}{error}") from None
    except TypeError as error:
        raise InvalidOption(f"{what}{_unknown_option(error)}") from None
    return Encoded(job_id, jsonio.dumps(data, f"{what}data", max_payload_bytes), shape)


def encode_jobs(items: Sequence[Any], max_payload_bytes: int = jsonio.MAX_PAYLOAD_BYTES) -> list[Encoded]:
    """As `encode_job` for each ``(name, data)`` or ``(name, data, options)``; an error says which item is wrong."""
    encoded = []
    # jobs without options, or with the same object as options, have one shape, which is made once
    shapes: dict[tuple[str, int], tuple[str, Shape]] = {}
    none: dict[str, Any] = {}
    for index, item in enumerate(items):
        if not isinstance(item, tuple | list) or not 2 <= len(item) <= 3:
            raise InvalidOption(f"item {index} must be (name, data) or (name, data, options), not {item!r}")
        name, options = item[0], item[2] if len(item) == 3 else none
        known = shapes.get((name, id(options))) if isinstance(name, str) else None
        if known is None:
            what = f"item {index}: "
            try:
                each = encode_job(name, item[1], what=what, max_payload_bytes=max_payload_bytes, **options)
            except TypeError as error:
                raise InvalidOption(f"{what}{_unknown_option(error)}") from None
            shapes[each.shape.name, id(options)] = each.job_id, each.shape
        else:
            each = Encoded(known[0], jsonio.dumps(item[1], f"item {index}: data", max_payload_bytes), known[1])
        encoded.append(each)
    return encoded


def encode_shape(
    name: object,
    *,
    job_id: str | None = None,
    delay: float | datetime.timedelta | datetime.datetime = 0,
    priority: int = 0,
    lifo: bool = False,
    attempts: int = 3,
    backoff: Backoff | float | None = DEFAULT_BACKOFF,
    remove_on_complete: Keep | bool | int | None = None,
    remove_on_fail: Keep | bool | int | None = None,
    dedup: Dedup | str | None = None,
    trace: str | None = None,
    more: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> tuple[str, Shape]:
    """Checks a job's name and options and encodes them; returns the job's own id, or '', and the rest.

    Args:
        more: further members of the job's ``opts``, written by flows and schedules.
        extra: what lib/add/add_job.lua takes as ``extra``.
    """
    if not isinstance(name, str) or not name:
        raise InvalidOption(f"name {name!r} must be a string that is not empty")
    delay_argument = delay_to_script(delay)
    priority_argument = str(check_priority(priority))
    opts = _encode_opts(attempts, backoff, priority, lifo, remove_on_complete, remove_on_fail)
    own: dict[str, Any] = dict(more or {})
    if job_id is not None:
        own["jobId"] = check_job_id(job_id)
    if delay_argument[0] != "@" and delay_argument != "0":
        own["delay"] = int(delay_argument)
    if trace is not None:
        own["tm"] = trace
    if dedup is not None:
        own["de"] = (Dedup(dedup) if isinstance(dedup, str) else dedup).to_wire()
        extra = {**(extra or {}), "de": own["de"]}
    if own:
        opts = f"{opts[:-1]},{jsonio.dumps(own, 'options')[1:]}"
    return job_id or "", Shape(
        name, opts, delay_argument, priority_argument, "1" if lifo else "",
        jsonio.dumps(extra, "options") if extra else "",
    )  # fmt: skip


def _unknown_option(error: TypeError) -> str:
    """What to tell a caller who named an option that does not exist."""
    text = str(error)
    if "unexpected keyword argument" in text:
        return f"unknown option {text.rsplit(' ', 1)[-1]}: use those of Queue.add"
    return text


@lru_cache(maxsize=512, typed=True)
def _encode_opts(
    attempts: int,
    backoff: Backoff | float | None,
    priority: int,
    lifo: bool,
    remove_on_complete: Keep | bool | int | None,
    remove_on_fail: Keep | bool | int | None,
) -> str:
    """What most jobs of a producer have in common; encoded once."""
    if not isinstance(attempts, int) or isinstance(attempts, bool) or attempts < 1:
        raise InvalidOption(f"attempts {attempts!r} must be an integer of 1 or more")
    opts: dict[str, Any] = {"attempts": attempts}
    if isinstance(backoff, int | float) and not isinstance(backoff, bool):
        backoff = Backoff("fixed", backoff, 0)
    if backoff is not None:
        if not isinstance(backoff, Backoff):
            raise InvalidOption(f"backoff {backoff!r} must be a Backoff, a number of seconds, or None")
        opts["backoff"] = backoff.to_wire()
    if priority:
        opts["priority"] = priority
    if lifo:
        opts["lifo"] = True
    for key, keep, option in (
        ("removeOnComplete", remove_on_complete, "remove_on_complete"),
        ("removeOnFail", remove_on_fail, "remove_on_fail"),
    ):
        wire = keep_to_wire(keep, option)
        if wire is not None:
            opts[key] = wire
    return jsonio.dumps(opts, "options")
