"""Reads what would be left behind in a queue: once a JobQueue is to leave it, and not with what is read of all."""

from __future__ import annotations

from typing import Any

from crewline.queue.queue import Queue

from crewline_operator.model.left import Left
from crewline_operator.model.marks import marks_key, read_mark
from crewline_operator.redis.counts import SCHEDULERS_MAX


async def read_left(queue: Queue) -> Left:
    """Raises what redis-py raises."""
    keys = queue.keys
    async with queue.redis.pipeline(transaction=False) as pipe:
        pipe.time()
        for key in (keys.wait, keys.paused, keys.active):
            pipe.llen(key)
        for key in (keys.prioritized, keys.delayed, keys.waiting_children):
            pipe.zcard(key)
        pipe.hscan(marks_key(queue.prefix, queue.name), 0, None, SCHEDULERS_MAX)
        (seconds, microseconds), *counts, (_, stored) = await pipe.execute()
    marks = tuple(mark for uid in sorted(stored) if (mark := read_mark(uid, stored[uid])) is not None)
    ahead = [f"{mark.owner.uid}-{mark.ahead_ms}" for mark in marks if mark.ahead_ms is not None]
    scores: list[Any] = await queue.redis.zmscore(keys.delayed, ahead) if ahead else []
    placed = sum(1 for score in scores if score is not None)
    return Left(now_ms=seconds * 1000 + microseconds // 1000, jobs=sum(counts) - placed, marks=marks)
