"""The second trip to Redis for queues: what only the first made known to ask for.

Of a job that can't be read only its details are missing: any client may have put there what it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crewline.wire.keys import Keys
from crewline.wire.text import text
from redis.asyncio import Redis

from crewline_operator.model.demand import AHEAD_MS, BY_HAND, Limits
from crewline_operator.model.fault import Fault
from crewline_operator.redis.age import integer, waiting_since
from crewline_operator.redis.counts import DELAYED_SCORE_FACTOR, Counts
from crewline_operator.redis.ended import ended_in, ended_questions
from crewline_operator.redis.faults import refused_key
from crewline_operator.redis.reading import Running, Snapshot, Target
from crewline_operator.redis.watched import BEGINNING

#: Progress is shown in a status, so it is bounded in characters of JSON.
PROGRESS_MAX_CHARS = 512
NAME_MAX_CHARS = 256
#: A number beyond is another one when it comes back.
EXACT_MAX = 2**53
#: The fields of a job that can't be read.
NOTHING = (None, None, None, None)


@dataclass(frozen=True)
class Details:
    """What the second trip tells of a queue."""

    due: int = 0
    oldest_ms: int | None = None
    running: tuple[Running, ...] = ()
    last_event: str = BEGINNING
    limits: Limits = field(default_factory=Limits)
    ended: int | None = None


async def read_details(
    redis: Redis, counts: Mapping[Target, Counts | Fault], now_ms: int, earlier: Mapping[Target, Snapshot]
) -> dict[Target, Details | Fault]:
    """Read what is still to be told of targets, each or why it can't be read."""
    read = {target: count for target, count in counts.items() if not isinstance(count, Fault)}
    soon_ms = now_ms + AHEAD_MS
    async with redis.pipeline(transaction=False) as pipe:
        for target, count in read.items():
            keys = Keys(target.prefix, target.queue)
            if count.is_due(soon_ms):
                pipe.zcount(*_due_question(keys, soon_ms)[1:])
            if count.asks_last_event:
                # The last event of a queue that is done is a short one, without a job's result.
                pipe.xrevrange(keys.events, count=1)
            if count.has_ready(soon_ms):
                pipe.get(keys.limiter)
                pipe.pttl(keys.limiter)
            for job_id in count.first_ids:
                pipe.hmget(keys.job(text(job_id)), "timestamp", "opts", "due", "processedOn")
            for job_id in count.active_ids:
                pipe.hmget(keys.job(text(job_id)), "name", "pb", "processedOn", "progress")
            for key, low, high in ended_questions(target, now_ms, earlier.get(target)):
                pipe.zcount(key, low, high)
        replies = iter(await pipe.execute(raise_on_error=False) if len(pipe) else ())
    details: dict[Target, Details | Fault] = {}
    for target, count in read.items():
        due = next(replies) if count.is_due(soon_ms) else 0
        last = _or_none(next(replies)) if count.asks_last_event else None
        window = [_or_none(next(replies)) for _ in range(2)] if count.has_ready(soon_ms) else (None, None)
        stamps = [waiting_since(_or_none(next(replies)) or NOTHING, now_ms) for _ in count.first_ids]
        if count.is_due(now_ms):
            stamps.append(count.next_due_ms)
        running = tuple(_running(job_id, _or_none(next(replies)) or NOTHING) for job_id in count.active_ids)
        ends = [_or_none(next(replies)) for _ in ended_questions(target, now_ms, earlier.get(target))]
        oldest = min((stamp for stamp in stamps if stamp is not None), default=None)
        refused = refused_key([_due_question(Keys(target.prefix, target.queue), soon_ms)], [due])
        last_event = text(last[0][0]) if last else count.position if count.is_quiet else None
        limits = _limits(count, *window)
        details[target] = refused or Details(
            due, oldest, running, last_event or BEGINNING, limits, ended_in(ends, count.completed, earlier.get(target))
        )
    return details


def _limits(count: Counts, started: bytes | None, left_ms: int | None) -> Limits:
    used = integer(started) or 0
    if not used or left_ms is None or left_ms < 0:
        # A window without an end limits nothing.
        return Limits(count.at_once, count.most, count.window_ms)
    if count.most is not None and used < BY_HAND:
        # Redis' clock was set back, or the rate was for longer: no window lasts beyond one from now.
        left_ms = min(left_ms, max(count.window_ms or 0, 1))
    return Limits(count.at_once, count.most, count.window_ms, used, left_ms)


def _due_question(keys: Keys, by_ms: int) -> tuple[Any, ...]:
    return "zcount", keys.delayed, "-inf", (by_ms + 1) * DELAYED_SCORE_FACTOR - 1


def _or_none(reply: Any) -> Any:
    return None if isinstance(reply, Exception) else reply


def _running(job_id: bytes, fields: Sequence[bytes | None]) -> Running:
    name, worker, started, progress = fields
    return Running(
        id=text(job_id)[:NAME_MAX_CHARS],
        name=text(name or b"")[:NAME_MAX_CHARS],
        worker=text(worker or b"")[:NAME_MAX_CHARS],
        started_ms=integer(started),
        progress=_progress(progress),
    )


def _progress(encoded: bytes | None) -> Any:
    if not encoded:
        return None
    if len(encoded) > PROGRESS_MAX_CHARS:
        return f"(progress of {len(encoded)} bytes is not shown)"
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
