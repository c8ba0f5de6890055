"""A job's options: checked before anything is sent, and written as BullMQ reads them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from crewline.errors import InvalidOption
from crewline.wire import jsonio
from crewline.wire.backoff import DEFAULT_BACKOFF, Backoff
from crewline.wire.checks import check_count, check_seconds, check_text, check_truth, is_number
from crewline.wire.dedup import Dedup, to_dedup
from crewline.wire.keys import is_job_id
from crewline.wire.retention import KEEP_COMPLETED, KEEP_FAILED, Keep, keep_to_wire

#: BullMQ's largest priority: a score is priority * 2^32 and has to stay an exact double.
MAX_PRIORITY = 2**21 - 1

#: Of a job's id, which is part of several keys, of each list and event that names the job, and of what workers tell.
MAX_ID_CHARS = 1000

_integer = re.compile(r"-?\d+\Z")

#: What `Queue.add` takes beside a name and data.
OPTIONS = (
    "job_id", "delay", "priority", "lifo", "attempts", "backoff", "remove_on_complete", "remove_on_fail", "dedup",
    "trace",
)  # fmt: skip
#: Where an option of BullMQ's is with us, if not under its own name with underscores.
_BULLMQS = {"deduplication": "dedup", "repeat": "Queue.schedule", "parent": "Queue.add_flow"}


#: What `Queue.add_bulk` takes.
BULK = "a list, or any iterable, of (name, data) or (name, data, options)"

#: Attempts that a job of ours has when nothing is said.
DEFAULT_ATTEMPTS = 3
#: The member of a job's options that tells that nothing was said of attempts and waits: what is written there is for
#: BullMQ's workers, and yields to the queue's settings.
UNSAID = "dr"


def check_job_id(job_id: object) -> str:
    """Returns a custom id that BullMQ accepts, else raises InvalidOption."""
    job_id = check_text(job_id, "job_id")
    if len(job_id) > MAX_ID_CHARS:
        raise InvalidOption(f"job_id {job_id[:20]!r}... has {len(job_id):,} characters: at most {MAX_ID_CHARS:,}")
    if _integer.match(job_id):
        raise InvalidOption(f"job_id {job_id!r} must not be a number (the queue's counter gives those): add a prefix")
    if ":" in job_id:
        raise InvalidOption(f"job_id {job_id!r} must not contain ':' (it parts Redis keys): use '-' or '.'")
    if not is_job_id(job_id):
        raise InvalidOption(f"job_id {job_id!r} is the name of a key that the queue itself has: add a prefix")
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
    return str(round(check_seconds(seconds, "delay", mend="give seconds, a timedelta or an aware datetime") * 1000))


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
            check_options(options, what)
            each = encode_job(name, item[1], what=what, max_payload_bytes=max_payload_bytes, **options)
            shapes[each.shape.name, id(options)] = each.job_id, each.shape
        else:
            each = Encoded(known[0], jsonio.dumps(item[1], f"item {index}: data", max_payload_bytes), known[1])
        encoded.append(each)
    return encoded


def encode_shape(
    name: object,
    *,
    job_id: str | None = None,
    delay: float | datetime.timedelta | datetime.datetime | None = None,
    priority: int | None = None,
    lifo: bool | None = None,
    attempts: int | None = None,
    backoff: Backoff | float | None = None,
    remove_on_complete: Keep | bool | int | None = None,
    remove_on_fail: Keep | bool | int | None = None,
    dedup: Dedup | str | None = None,
    trace: str | None = None,
    more: dict[str, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> tuple[str, Shape]:
    """Checks a job's name and options and encodes them; returns the job's own id, or '', and the rest.

    None is an option left out, for each of them.

    Args:
        more: further members of the job's ``opts``, written by flows and schedules.
        extra: what lib/add/add_job.lua takes as ``extra``.
    """
    name = check_text(name, "name")
    delay_argument = delay_to_script(0 if delay is None else delay)
    priority = check_priority(0 if priority is None else priority)
    lifo = lifo is not None and check_truth(lifo, "lifo")
    shared = (attempts, backoff, priority, lifo, remove_on_complete, remove_on_fail)
    try:
        opts = _encode_opts(*shared)
    except TypeError:
        # a dict or a list, which no cache takes and no option may be: told by its name
        opts = _encode_opts.__wrapped__(*shared)
    own: dict[str, Any] = dict(more or {})
    if job_id is not None:
        own["jobId"] = check_job_id(job_id)
    if delay_argument[0] != "@" and delay_argument != "0":
        own["delay"] = int(delay_argument)
    if trace is not None:
        own["tm"] = check_text(trace, "trace")
    if dedup is not None:
        own["de"] = to_dedup(dedup).to_wire()
        extra = {**(extra or {}), "de": own["de"]}
    if own:
        opts = f"{opts[:-1]},{jsonio.dumps(own, 'options')[1:]}"
    return job_id or "", Shape(
        name, opts, delay_argument, str(priority), "1" if lifo else "",
        jsonio.dumps(extra, "options") if extra else "",
    )  # fmt: skip


def says_attempts(opts: Mapping[str, Any]) -> bool:
    """Whether who added a job with these options, off the wire, said how often it may be tried."""
    # BullMQ writes 0 where its user said nothing
    return bool(opts.get("attempts")) and opts.get(UNSAID) != 1


def check_options(options: object, what: str = "") -> None:
    """Raises InvalidOption for options, by name, that are not those of `Queue.add`; ``what`` is put before its text."""
    if not isinstance(options, Mapping):
        raise InvalidOption(f"{what}options {options!r} must be a dict of arguments of Queue.add, as {{'attempts': 5}}")
    for name in options:
        if name not in OPTIONS:
            # as BullMQ calls it
            ours = _BULLMQS.get(name) or re.sub("[A-Z]", lambda found: f"_{found[0].lower()}", str(name))
            mend = ours if ours in OPTIONS or "Queue." in ours else "those of Queue.add"
            raise InvalidOption(f"{what}unknown option {name!r}: use {mend}")


@lru_cache(maxsize=512, typed=True)
def _encode_opts(
    attempts: int | None,
    backoff: Backoff | float | None,
    priority: int,
    lifo: bool,
    remove_on_complete: Keep | bool | int | None,
    remove_on_fail: Keep | bool | int | None,
) -> str:
    """What most jobs of a producer have in common; encoded once."""
    opts: dict[str, Any] = {"attempts": DEFAULT_ATTEMPTS if attempts is None else check_count(attempts, "attempts")}
    wait = DEFAULT_BACKOFF if backoff is None else Backoff("fixed", backoff) if is_number(backoff) else backoff
    if not isinstance(wait, Backoff):
        raise InvalidOption(
            f"backoff {backoff!r} must be a Backoff such as Backoff('fixed', 5), or a number of seconds: 0 for no wait"
        )
    if attempts is None and backoff is None:
        opts[UNSAID] = 1
    # none is said by leaving it out, as BullMQ's clients do
    if wait.custom or wait.delay:
        opts["backoff"] = wait.to_wire()
    if priority:
        opts["priority"] = priority
    if lifo:
        opts["lifo"] = True
    for key, keep, default, option in (
        ("removeOnComplete", remove_on_complete, KEEP_COMPLETED, "remove_on_complete"),
        ("removeOnFail", remove_on_fail, KEEP_FAILED, "remove_on_fail"),
    ):
        opts[key] = keep_to_wire(default if keep is None else keep, option)
    return jsonio.dumps(opts, "options")
