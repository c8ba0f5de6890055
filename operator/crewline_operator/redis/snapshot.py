"""Reads what queues hold at one moment, in two pipelined round trips for all queues of a Redis together.

The first trip counts; the second asks only for what the first made known (due jobs, the oldest job's age, the running
jobs' progress), so that idle queues cost one trip. Nothing here reads more than RUNNING_MAX entries of anything.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crewline.wire.keys import Keys
from crewline.wire.text import text
from redis.asyncio import Redis

from crewline_operator.redis.reading import Running, Snapshot, Target

RUNNING_MAX = 20
#: A delayed job's score is its due time in ms times this, plus a sequence number (BullMQ's layout).
DELAYED_SCORE_FACTOR = 4096
#: Queues a pipeline: some 14 commands each keep the reply small and Redis' other clients served.
QUEUES_PER_PIPELINE = 250
#: Progress is shown in a status, so it is bounded in characters of JSON.
PROGRESS_MAX_CHARS = 512
NAME_MAX_CHARS = 256


async def read_snapshots(redis: Redis, targets: Sequence[Target]) -> dict[Target, Snapshot]:
    """Read all targets; raises what redis-py raises, and then nothing was read."""
    snapshots: dict[Target, Snapshot] = {}
    for start in range(0, len(targets), QUEUES_PER_PIPELINE):
        chunk = targets[start : start + QUEUES_PER_PIPELINE]
        now_ms, counts = await _read_counts(redis, chunk)
        details = await _read_details(redis, chunk, counts, now_ms)
        for target, count, detail in zip(chunk, counts, details, strict=True):
            snapshots[target] = _snapshot(count, detail, now_ms)
    return snapshots


@dataclass(frozen=True)
class _Counts:
    wait: int
    parked: int
    prioritized: int
    active: int
    delayed: int
    completed: int
    failed: int
    dead: int
    paused: bool
    oldest_id: bytes | None
    first_prioritized_id: bytes | None
    next_due_ms: int | None
    active_ids: tuple[bytes, ...]


@dataclass(frozen=True)
class _Details:
    due: int = 0
    oldest_ms: int | None = None
    running: tuple[Running, ...] = ()


async def _read_counts(redis: Redis, targets: Sequence[Target]) -> tuple[int, list[_Counts]]:
    async with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        for target in targets:
            keys = Keys(target.prefix, target.queue)
            letters = Keys(target.prefix, target.dead_letter_queue)
            pipe.llen(keys.wait)
            pipe.llen(keys.paused)
            pipe.zcard(keys.prioritized)
            pipe.llen(keys.active)
            pipe.zcard(keys.delayed)
            pipe.zcard(keys.completed)
            pipe.zcard(keys.failed)
            pipe.llen(letters.wait)
            pipe.zcard(letters.prioritized)
            pipe.hexists(keys.meta, "paused")
            pipe.lindex(keys.wait, -1)
            pipe.zrange(keys.prioritized, 0, 0)
            pipe.zrange(keys.delayed, 0, 0, withscores=True)
            # New jobs come in at the head: the tail holds those that have run longest.
            pipe.lrange(keys.active, -RUNNING_MAX, -1)
        time_reply, *replies = await pipe.execute()
    now_ms = time_reply[0] * 1000 + time_reply[1] // 1000
    width = len(replies) // len(targets) if targets else 0
    return now_ms, [_counts(replies[index * width : (index + 1) * width]) for index in range(len(targets))]


def _counts(reply: Sequence[Any]) -> _Counts:
    wait, parked, prioritized, active, delayed, completed, failed, dead, more_dead = reply[:9]
    paused, oldest, first_prioritized, next_delayed, active_ids = reply[9:]
    return _Counts(
        wait=wait,
        parked=parked,
        prioritized=prioritized,
        active=active,
        delayed=delayed,
        completed=completed,
        failed=failed,
        dead=dead + more_dead,
        paused=bool(paused),
        oldest_id=oldest,
        first_prioritized_id=first_prioritized[0] if first_prioritized else None,
        next_due_ms=int(next_delayed[0][1] // DELAYED_SCORE_FACTOR) if next_delayed else None,
        active_ids=tuple(reversed(active_ids)),
    )


async def _read_details(
    redis: Redis, targets: Sequence[Target], counts: Sequence[_Counts], now_ms: int
) -> list[_Details]:
    async with redis.pipeline(transaction=False) as pipe:
        for target, count in zip(targets, counts, strict=True):
            keys = Keys(target.prefix, target.queue)
            if count.next_due_ms is not None and count.next_due_ms <= now_ms:
                pipe.zcount(keys.delayed, "-inf", (now_ms + 1) * DELAYED_SCORE_FACTOR - 1)
            for job_id in (count.oldest_id, count.first_prioritized_id):
                if job_id is not None:
                    pipe.hget(keys.job(text(job_id)), "timestamp")
            for job_id in count.active_ids:
                pipe.hmget(keys.job(text(job_id)), "name", "pb", "processedOn", "progress")
        replies = iter(await pipe.execute() if len(pipe) else ())
    details = []
    for count in counts:
        due = next(replies) if count.next_due_ms is not None and count.next_due_ms <= now_ms else 0
        stamps = [
            _integer(next(replies)) for job_id in (count.oldest_id, count.first_prioritized_id) if job_id is not None
        ]
        running = tuple(_running(job_id, next(replies)) for job_id in count.active_ids)
        details.append(_Details(due, min((stamp for stamp in stamps if stamp is not None), default=None), running))
    return details


def _snapshot(count: _Counts, detail: _Details, now_ms: int) -> Snapshot:
    return Snapshot(
        now_ms=now_ms,
        waiting=count.wait + count.parked + count.prioritized,
        active=count.active,
        delayed=count.delayed,
        due=detail.due,
        completed=count.completed,
        failed=count.failed,
        dead=count.dead,
        paused=count.paused,
        next_due_ms=count.next_due_ms,
        oldest_waiting_ms=detail.oldest_ms,
        running=detail.running,
    )


def _running(job_id: bytes, fields: Sequence[bytes | None]) -> Running:
    name, worker, started, progress = fields
    return Running(
        id=text(job_id)[:NAME_MAX_CHARS],
        name=text(name or b"")[:NAME_MAX_CHARS],
        worker=text(worker or b"")[:NAME_MAX_CHARS],
        started_ms=_integer(started),
        progress=_progress(progress),
    )


def _progress(encoded: bytes | None) -> Any:
    if not encoded:
        return None
    if len(encoded) > PROGRESS_MAX_CHARS:
        return f"(progress of {len(encoded)} bytes is not shown)"
    try:
        # The API server takes no NaN and no 1e400, and any BullMQ client may have written this.
        value = json.loads(encoded, parse_constant=str)
        json.dumps(value, allow_nan=False)
        return value
    except (ValueError, RecursionError):
        return text(encoded)


def _integer(value: bytes | None) -> int | None:
    """A number off the wire; a foreign client may have written anything."""
    try:
        return int(float(value)) if value else None
    except (ValueError, OverflowError):
        return None
