"""The running jobs as a status shows them: of each what its hash says, or that it is too large to be shown. Pure.

They are read every few seconds and not with each count, since no status is written more often.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from typing import Any

from crewline.wire.keys import Keys
from crewline.wire.text import text

from crewline_operator.redis.age import integer
from crewline_operator.redis.bounded import NUMBER_MAX_BYTES, Fields, TooLarge, Value, known
from crewline_operator.redis.reading import Running, Snapshot

#: Until what runs is read again, where some is known; up to so much longer, so that not all queues are read in one go.
RUNNING_SECONDS, SPREAD_SECONDS = 4.0, 2.0
#: Shown of an id, a name, a worker.
NAME_MAX_CHARS = 256
#: Bytes of each that are read. Progress is shown as it is, and so bounded by what a status has room for.
FIELDS = {"name": 4 * NAME_MAX_CHARS, "pb": 4 * NAME_MAX_CHARS, "processedOn": NUMBER_MAX_BYTES, "progress": 512}
#: The job of a longer id is not looked up.
ID_MAX_BYTES = 1024
#: A number beyond is another one when it comes back.
EXACT_MAX = 2**53


def kept_running(queue: str, ids: Sequence[bytes], earlier: Snapshot | None, now: float) -> tuple[Running, ...]:
    """What an earlier read has told of those that still run; nothing if they are to be read now."""
    spread = SPREAD_SECONDS * (zlib.crc32(queue.encode()) % 1000) / 1000
    if earlier is None or now - earlier.running_at >= RUNNING_SECONDS + spread:
        return ()
    running = set(map(_shown_id, ids))
    return tuple(run for run in earlier.running if run.id in running)


def running_fields(keys: Keys, ids: Sequence[bytes]) -> list[Fields]:
    """What to read of them."""
    return [Fields(keys.job(text(job_id)), FIELDS if len(job_id) <= ID_MAX_BYTES else {}) for job_id in ids]


def running_of(job_id: bytes, fields: Sequence[Value]) -> Running:
    """A running job by what was read of it."""
    # nothing was asked of one whose id is too long
    name, worker, started, progress = fields or (None,) * len(FIELDS)
    return Running(
        id=_shown_id(job_id),
        name=_name(name, "name"),
        worker=_name(worker, "worker"),
        started_ms=integer(known(started)),
        progress=_progress(progress),
    )


def _shown_id(job_id: bytes) -> str:
    return text(job_id)[:NAME_MAX_CHARS]


def _name(value: Value, what: str) -> str:
    return value.of(what) if isinstance(value, TooLarge) else text(value or b"")[:NAME_MAX_CHARS]


def _progress(encoded: Value) -> Any:
    if isinstance(encoded, TooLarge):
        return encoded.of("progress")
    if encoded is None:
        return None
    try:
        return _kept(json.loads(encoded, parse_constant=str))
    except (ValueError, RecursionError):
        return text(encoded)


def _kept(value: Any) -> Any:
    """What the API server gives back as it was sent: it takes no 1e400 and no 10^30, and drops an object's nulls.

    Any BullMQ client may have written this. Raises ValueError.
    """
    match value:
        case dict():
            return {name: _kept(each) for name, each in value.items() if each is not None}
        case list():
            return [_kept(each) for each in value]
        case bool():
            return value
        case int() if abs(value) > EXACT_MAX:
            return str(value)
        case float() if not math.isfinite(value):
            raise ValueError("beyond any number")
        case _:
            return value
