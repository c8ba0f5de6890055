"""Reads what queues hold at one moment, in two pipelined round trips for all queues of a Redis together.

The first trip counts; the second asks only for what the first made known: due jobs, the oldest job's age, the running
jobs' progress, and where there are none of these what has happened last. Nothing here reads more than RUNNING_MAX
entries of anything.

What Redis refuses for a key (its type, a user's rights) is the fault of the queue that has the key. Of a job that
can't be read only its details are missing: any client may have put there what it is.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crewline.wire.keys import Keys
from crewline.wire.text import text
from redis.asyncio import Redis

from crewline_operator.model.fault import Fault
from crewline_operator.model.marks import marks_key, read_mark
from crewline_operator.model.owner import Owner, claim_key, read_owner
from crewline_operator.redis.age import integer, waiting_since
from crewline_operator.redis.faults import refused_key
from crewline_operator.redis.reading import Running, Snapshot, Target

RUNNING_MAX = 20
#: About as many are looked at; nobody has more ScheduledJobs on one queue.
SCHEDULERS_MAX = 1000
#: A delayed job's score is its due time in ms times this, plus a sequence number (BullMQ's layout).
DELAYED_SCORE_FACTOR = 4096
#: Queues a pipeline: some 14 commands each keep the reply small and Redis' other clients served.
QUEUES_PER_PIPELINE = 250
#: Progress is shown in a status, so it is bounded in characters of JSON.
PROGRESS_MAX_CHARS = 512
NAME_MAX_CHARS = 256
#: The fields of a job that can't be read.
NOTHING = (None, None, None, None)


async def read_snapshots(redis: Redis, targets: Sequence[Target]) -> dict[Target, Snapshot | Fault]:
    """Read all targets, each or why it can't be read; raises what redis-py raises where Redis can't be reached."""
    found: dict[Target, Snapshot | Fault] = {}
    for start in range(0, len(targets), QUEUES_PER_PIPELINE):
        chunk = targets[start : start + QUEUES_PER_PIPELINE]
        now_ms, counts = await _read_counts(redis, chunk)
        details = await _read_details(redis, counts, now_ms)
        for target in chunk:
            count = counts[target]
            if isinstance(count, Fault):
                found[target] = count
            else:
                detail = details[target]
                found[target] = detail if isinstance(detail, Fault) else _snapshot(count, detail, now_ms)
    return found


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
    owner: Owner | None
    last_id: bytes | None
    schedulers: tuple[Owner, ...]

    @property
    def first_ids(self) -> list[bytes]:
        """Those that run next: the oldest is among them."""
        return [job_id for job_id in (self.oldest_id, self.first_prioritized_id) if job_id is not None]

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing that runs or may run: then it counts what has happened."""
        return not (self.wait or self.parked or self.prioritized or self.active)

    def is_due(self, now_ms: int) -> bool:
        return self.next_due_ms is not None and self.next_due_ms <= now_ms


@dataclass(frozen=True)
class _Details:
    due: int = 0
    oldest_ms: int | None = None
    running: tuple[Running, ...] = ()
    last_event: bytes | None = None


async def _read_counts(redis: Redis, targets: Sequence[Target]) -> tuple[int, dict[Target, _Counts | Fault]]:
    asked = {target: _questions(target) for target in targets}
    async with redis.pipeline(transaction=False) as pipe:
        pipe.time()
        for command, *args in itertools.chain.from_iterable(asked.values()):
            getattr(pipe, command)(*args)
        time_reply, *replies = await pipe.execute(raise_on_error=False)
    if isinstance(time_reply, Exception):
        raise time_reply
    now_ms = time_reply[0] * 1000 + time_reply[1] // 1000
    answers = iter(replies)
    counts: dict[Target, _Counts | Fault] = {}
    for target, questions in asked.items():
        answered = list(itertools.islice(answers, len(questions)))
        counts[target] = refused_key(questions, answered) or _counts(answered)
    return now_ms, counts


def _questions(target: Target) -> list[tuple[Any, ...]]:
    """The first trip's commands for a queue as redis-py has them, in the order in which `_counts` takes the answers."""
    keys = Keys(target.prefix, target.queue)
    letters = Keys(target.prefix, target.dead_letter_queue)
    return [
        ("llen", keys.wait),
        ("llen", keys.paused),
        ("zcard", keys.prioritized),
        ("llen", keys.active),
        ("zcard", keys.delayed),
        ("zcard", keys.completed),
        ("zcard", keys.failed),
        ("llen", letters.wait),
        ("zcard", letters.prioritized),
        ("hexists", keys.meta, "paused"),
        ("lindex", keys.wait, -1),
        ("zrange", keys.prioritized, 0, 0),
        # not the other way round, and with the scores
        ("zrange", keys.delayed, 0, 0, False, True),
        # New jobs come in at the head: the tail holds those that have run longest.
        ("lrange", keys.active, -RUNNING_MAX, -1),
        ("get", claim_key(target.prefix, target.queue)),
        ("get", keys.id),
        ("hscan", marks_key(target.prefix, target.queue), 0, None, SCHEDULERS_MAX),
    ]


def _counts(reply: Sequence[Any]) -> _Counts:
    wait, parked, prioritized, active, delayed, completed, failed, dead, more_dead = reply[:9]
    paused, oldest, first_prioritized, next_delayed, active_ids, owner, last_id, (_, marks) = reply[9:]
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
        owner=read_owner(owner),
        last_id=last_id,
        schedulers=tuple(mark.owner for uid in sorted(marks) if (mark := read_mark(text(uid), marks[uid]))),
    )


async def _read_details(
    redis: Redis, counts: Mapping[Target, _Counts | Fault], now_ms: int
) -> dict[Target, _Details | Fault]:
    read = {target: count for target, count in counts.items() if not isinstance(count, Fault)}
    async with redis.pipeline(transaction=False) as pipe:
        for target, count in read.items():
            keys = Keys(target.prefix, target.queue)
            if count.is_due(now_ms):
                pipe.zcount(*_due_question(keys, now_ms)[1:])
            if count.is_quiet:
                # The last event of a queue that is done is a short one, without a job's result.
                pipe.xrevrange(keys.events, count=1)
            for job_id in count.first_ids:
                pipe.hmget(keys.job(text(job_id)), "timestamp", "opts", "due", "processedOn")
            for job_id in count.active_ids:
                pipe.hmget(keys.job(text(job_id)), "name", "pb", "processedOn", "progress")
        replies = iter(await pipe.execute(raise_on_error=False) if len(pipe) else ())
    details: dict[Target, _Details | Fault] = {}
    for target, count in read.items():
        due = next(replies) if count.is_due(now_ms) else 0
        last = _or_none(next(replies)) if count.is_quiet else None
        stamps = [waiting_since(_or_none(next(replies)) or NOTHING, now_ms) for _ in count.first_ids]
        if count.is_due(now_ms):
            stamps.append(count.next_due_ms)
        running = tuple(_running(job_id, _or_none(next(replies)) or NOTHING) for job_id in count.active_ids)
        oldest = min((stamp for stamp in stamps if stamp is not None), default=None)
        refused = refused_key([_due_question(Keys(target.prefix, target.queue), now_ms)], [due])
        details[target] = refused or _Details(due, oldest, running, last[0][0] if last else None)
    return details


def _due_question(keys: Keys, now_ms: int) -> tuple[Any, ...]:
    return "zcount", keys.delayed, "-inf", (now_ms + 1) * DELAYED_SCORE_FACTOR - 1


def _or_none(reply: Any) -> Any:
    return None if isinstance(reply, Exception) else reply


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
        mark=f"{text(count.last_id or b'')} {text(detail.last_event or b'')}",
        added=integer(count.last_id or b"0"),
        owner=count.owner,
        schedulers=count.schedulers,
    )


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
        # The API server takes no NaN and no 1e400, and any BullMQ client may have written this.
        value = json.loads(encoded, parse_constant=str)
        json.dumps(value, allow_nan=False)
        return value
    except (ValueError, RecursionError):
        return text(encoded)
