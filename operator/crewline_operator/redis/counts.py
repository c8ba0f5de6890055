"""The first trip to Redis for queues: how many jobs they hold in each state, and whose they are.

What Redis refuses for a key (its type, a user's rights) is the fault of the queue that has the key; only without its
events it can be read.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Any

from crewline.redis.topology import add_time
from crewline.wire.keys import Keys
from crewline.wire.larger import LARGER_KEY
from crewline.wire.settings import SETTINGS_KEY
from crewline.wire.text import text
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from crewline_operator.model.fault import Fault
from crewline_operator.model.marks import marks_key, read_mark
from crewline_operator.model.owner import OWNER_MAX_BYTES, UNKNOWN, Owner, claim_key, read_owner
from crewline_operator.redis.bounded import NUMBER_MAX_BYTES, TooLarge, start_question, whole
from crewline_operator.redis.faults import refused_key
from crewline_operator.redis.reading import Target
from crewline_operator.redis.watched import BEGINNING

RUNNING_MAX = 20
#: About as many are looked at; nobody has more ScheduledJobs on one queue.
SCHEDULERS_MAX = 1000
#: A delayed job's score is its due time in ms times this, plus a sequence number (BullMQ's layout).
DELAYED_SCORE_FACTOR = 4096
#: Some 30,000 years: a time that no clock will show.
NEVER_MS = 1e15
#: Bytes that are read of a queue's settings: what the operator writes is shorter, and takes the place of what is not.
SETTINGS_MAX_BYTES = 8192


@dataclass(frozen=True)
class Counts:
    """What the first trip tells of a queue."""

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
    settings: str | None
    schedulers: tuple[Owner, ...]
    #: The last event's id where it was asked for, and can be read.
    position: str | None
    #: Whether its events may be looked at.
    has_events: bool
    #: Those that wait for a larger worker, and from when on the first may be taken.
    larger: int = 0
    larger_from_ms: int | None = None

    @property
    def first_ids(self) -> list[bytes]:
        """Those that run next: the oldest is among them."""
        return [job_id for job_id in (self.oldest_id, self.first_prioritized_id) if job_id is not None]

    @property
    def is_quiet(self) -> bool:
        """Whether there is nothing that runs or may run: then it counts what has happened."""
        return not (self.wait or self.parked or self.prioritized or self.active)

    def is_due(self, by_ms: int) -> bool:
        return self.next_due_ms is not None and self.next_due_ms <= by_ms

    def has_ready(self, by_ms: int) -> bool:
        """Whether there are jobs that a limit may hold back."""
        return bool(self.wait or self.parked or self.prioritized) or self.is_due(by_ms)

    @property
    def asks_last_event(self) -> bool:
        return self.has_events and self.is_quiet and self.position is None


async def read_counts(
    redis: Redis, targets: Sequence[Target], sleeping: Container[Target], has_events: bool = True
) -> tuple[int, dict[Target, Counts | Fault]]:
    """Read all targets, of one node of a cluster: its clock, and of each target the counts, or why it can't be read.

    Args:
        sleeping: those of which the last event is read first.
        has_events: whether events may be looked at; else they are of none.
    """
    if not has_events:
        sleeping = ()
    asked = {target: _questions(target) for target in targets}
    async with redis.pipeline(transaction=False) as pipe:
        await add_time(redis, pipe, Keys(targets[0].prefix, targets[0].queue).base)
        for target, questions in asked.items():
            if target in sleeping:
                pipe.xrevrange(Keys(target.prefix, target.queue).events, count=1)
            for command, *args in questions:
                getattr(pipe, command)(*args)
        time_reply, *replies = await pipe.execute(raise_on_error=False)
    if isinstance(time_reply, Exception):
        raise time_reply
    now_ms = time_reply[0] * 1000 + time_reply[1] // 1000
    answers = iter(replies)
    counts: dict[Target, Counts | Fault] = {}
    for target, questions in asked.items():
        position = _position(next(answers)) if target in sleeping else None
        answered = list(itertools.islice(answers, len(questions)))
        counts[target] = refused_key(questions, answered) or _counts(target, answered, position, has_events)
    return now_ms, counts


def _questions(target: Target) -> list[tuple[Any, ...]]:
    """The first trip's commands for a queue as redis-py has them, in the order in which `_counts` takes the answers."""
    keys = Keys(target.prefix, target.queue)
    return [
        ("llen", keys.wait),
        ("llen", keys.paused),
        ("zcard", keys.prioritized),
        ("llen", keys.active),
        ("zcard", keys.delayed),
        ("zcard", keys.completed),
        ("zcard", keys.failed),
        ("hexists", keys.meta, "paused"),
        ("lindex", keys.wait, -1),
        ("zrange", keys.prioritized, 0, 0),
        # not the other way round, and with the scores
        ("zrange", keys.delayed, 0, 0, False, True),
        # New jobs come in at the head: the tail holds those that have run longest.
        ("lrange", keys.active, -RUNNING_MAX, -1),
        start_question(claim_key(target.prefix, target.queue), OWNER_MAX_BYTES),
        start_question(keys.id, NUMBER_MAX_BYTES),
        start_question(keys.extra(SETTINGS_KEY), SETTINGS_MAX_BYTES),
        ("hscan", marks_key(target.prefix, target.queue), 0, None, SCHEDULERS_MAX),
        *_questions_of_letters(target),
        *_questions_of_larger(target),
    ]


def _questions_of_letters(target: Target) -> list[tuple[Any, ...]]:
    if not target.dead_letter_queue:
        return []
    letters = Keys(target.prefix, target.dead_letter_queue)
    return [("llen", letters.wait), ("zcard", letters.prioritized)]


def _questions_of_larger(target: Target) -> list[tuple[Any, ...]]:
    if not target.larger:
        return []
    larger = Keys(target.prefix, target.queue).extra(LARGER_KEY)
    return [("zcard", larger), ("zrange", larger, 0, 0, False, True)]


def _position(last: Any) -> str | None:
    """Where a stream ends, which may not be readable: then its queue is one that nothing can wait for."""
    if isinstance(last, ResponseError):
        return None
    if isinstance(last, Exception):
        raise last
    return text(last[0][0]) if last else BEGINNING


def _due_ms(score: float) -> int | None:
    """A delay may be as long as any number that a client has: one that ends at no time at all never comes."""
    if score >= NEVER_MS * DELAYED_SCORE_FACTOR:
        return None
    return max(int(max(score, 0.0) // DELAYED_SCORE_FACTOR), 0)


def _counts(target: Target, reply: Sequence[Any], position: str | None, has_events: bool) -> Counts:
    wait, parked, prioritized, active, delayed, completed, failed = reply[:7]
    paused, oldest, first_prioritized, next_delayed, active_ids, owner, last_id = reply[7:14]
    settings, (_, marks) = reply[14:16]
    letters = 16 + len(_questions_of_letters(target))
    larger, first_larger = reply[letters:] or (0, [])
    claim = whole(owner, OWNER_MAX_BYTES)
    return Counts(
        wait=wait,
        parked=parked,
        prioritized=prioritized,
        active=active,
        delayed=delayed,
        completed=completed,
        failed=failed,
        dead=sum(reply[16:letters]),
        paused=bool(paused),
        oldest_id=oldest,
        first_prioritized_id=first_prioritized[0] if first_prioritized else None,
        next_due_ms=_due_ms(next_delayed[0][1]) if next_delayed else None,
        active_ids=tuple(reversed(active_ids)),
        owner=UNKNOWN if isinstance(claim, TooLarge) else read_owner(claim),
        last_id=last_id or None,
        # What is longer is none of ours, and is written anew.
        settings=text(settings[:SETTINGS_MAX_BYTES]) or None,
        schedulers=tuple(mark.owner for uid in sorted(marks) if (mark := read_mark(uid, marks[uid]))),
        position=position,
        has_events=has_events,
        larger=larger,
        larger_from_ms=_due_ms(first_larger[0][1] * DELAYED_SCORE_FACTOR) if first_larger else None,
    )
