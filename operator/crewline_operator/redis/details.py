"""The second look at queues: what only the counts made known to ask for.

Of a job that can't be read only its details are missing: any client may have put there what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crewline.wire.keys import Keys
from crewline.wire.text import text
from redis.asyncio import Redis

from crewline_operator.model.demand import AHEAD_MS, BY_HAND, Limits
from crewline_operator.model.fault import Fault
from crewline_operator.redis.age import integer, waiting_since
from crewline_operator.redis.bounded import NUMBER_MAX_BYTES, Fields, Value, known, read_fields, start_question, whole
from crewline_operator.redis.counts import DELAYED_SCORE_FACTOR, Counts
from crewline_operator.redis.ended import ended_in, ended_questions
from crewline_operator.redis.faults import refused_key
from crewline_operator.redis.reading import Running, Snapshot, Target
from crewline_operator.redis.running import ID_MAX_BYTES, kept_running, running_fields, running_of
from crewline_operator.redis.watched import BEGINNING

#: Bytes that are read of a queue's limits, and of what tells since when a job waits. BullMQ's options carry a parent,
#: and what tracing adds.
LIMITS = {"concurrency": NUMBER_MAX_BYTES, "max": NUMBER_MAX_BYTES, "duration": NUMBER_MAX_BYTES}
STAMPS = {"timestamp": NUMBER_MAX_BYTES, "opts": 16384, "due": NUMBER_MAX_BYTES, "processedOn": NUMBER_MAX_BYTES}


@dataclass(frozen=True)
class Details:
    """What the second look tells of a queue."""

    due: int = 0
    oldest_ms: int | None = None
    running: tuple[Running, ...] = ()
    #: When these were read, by the monotonic clock.
    running_at: float = 0.0
    last_event: str = BEGINNING
    limits: Limits = field(default_factory=Limits)
    ended: int | None = None


@dataclass(frozen=True)
class _Hashes:
    """The hashes to read for a queue: its own, those of the jobs that run next, and of those that run."""

    meta: Fields
    first: Sequence[Fields]
    running: Sequence[Fields]
    #: What is known of the running ones, so that they are not read now.
    kept: tuple[Running, ...]

    @property
    def all(self) -> list[Fields]:
        return [self.meta, *self.first, *self.running]


async def read_details(
    redis: Redis,
    counts: Mapping[Target, Counts | Fault],
    now_ms: int,
    earlier: Mapping[Target, Snapshot],
    read_at: float,
) -> dict[Target, Details | Fault]:
    """Read what is still to be told of targets, each or why it can't be read.

    Args:
        read_at: now, by the monotonic clock.
    """
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
                pipe.getrange(*start_question(keys.limiter, NUMBER_MAX_BYTES)[1:])
                pipe.pttl(keys.limiter)
            for key, low, high in ended_questions(target, now_ms, earlier.get(target)):
                pipe.zcount(key, low, high)
        replies = iter(await pipe.execute(raise_on_error=False) if len(pipe) else ())
    hashes = {target: _hashes(target, count, earlier.get(target), read_at) for target, count in read.items()}
    found = iter(await read_fields(redis, [each for asked in hashes.values() for each in asked.all]))
    details: dict[Target, Details | Fault] = {}
    for target, count in read.items():
        asked, before = hashes[target], earlier.get(target)
        due = next(replies) if count.is_due(soon_ms) else 0
        last = _or_none(next(replies)) if count.asks_last_event else None
        window = [_or_none(next(replies)) for _ in range(2)] if count.has_ready(soon_ms) else (None, None)
        ends = [_or_none(next(replies)) for _ in ended_questions(target, now_ms, before)]
        limits = _limits(next(found), *window)
        stamps = [waiting_since(list(map(known, next(found))), now_ms) for _ in asked.first]
        running = asked.kept or tuple(running_of(job_id, next(found)) for job_id in count.active_ids)
        if count.is_due(now_ms):
            stamps.append(count.next_due_ms)
        oldest = min((stamp for stamp in stamps if stamp is not None), default=None)
        refused = refused_key([_due_question(Keys(target.prefix, target.queue), soon_ms)], [due])
        last_event = text(last[0][0]) if last else count.position if count.is_quiet else None
        details[target] = refused or Details(
            due=due,
            oldest_ms=oldest,
            running=running,
            running_at=before.running_at if asked.kept and before is not None else read_at,
            last_event=last_event or BEGINNING,
            limits=limits,
            ended=ended_in(ends, count.completed, before),
        )
    return details


def _hashes(target: Target, count: Counts, earlier: Snapshot | None, read_at: float) -> _Hashes:
    keys = Keys(target.prefix, target.queue)
    # what runs in a larger worker needs no other: where each runs is to be as new as the count of what is active
    kept = () if target.larger else kept_running(target.queue, count.active_ids, earlier, read_at)
    return _Hashes(
        meta=Fields(keys.meta, LIMITS),
        first=[Fields(keys.job(text(job_id)), STAMPS) for job_id in count.first_ids if len(job_id) <= ID_MAX_BYTES],
        running=[] if kept else running_fields(keys, count.active_ids),
        kept=kept,
    )


def _limits(fields: Sequence[Value], start: bytes | None, left_ms: int | None) -> Limits:
    at_once, most, window_ms = (integer(known(each)) for each in fields)
    # As the scripts have it, a rate of none is no rate.
    most = most if most and most > 0 else None
    used = integer(known(whole(start or b"", NUMBER_MAX_BYTES))) or 0
    if not used or left_ms is None or left_ms < 0:
        # A window without an end limits nothing.
        return Limits(at_once, most, window_ms)
    if most is not None and used < BY_HAND:
        # Redis' clock was set back, or the rate was for longer: no window lasts beyond one from now.
        left_ms = min(left_ms, max(window_ms or 0, 1))
    return Limits(at_once, most, window_ms, used, left_ms)


def _due_question(keys: Keys, by_ms: int) -> tuple[Any, ...]:
    return "zcount", keys.delayed, "-inf", (by_ms + 1) * DELAYED_SCORE_FACTOR - 1


def _or_none(reply: Any) -> Any:
    return None if isinstance(reply, Exception) else reply
