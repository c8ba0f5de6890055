"""How many jobs have ended, told by those that are kept, which are in the order of their ends.

The queue's counter of ids tells how many have left it, but counts with them what never ran: adds that were refused as
duplicates, jobs that were removed, a queue that was emptied. Those that have ended are counted from read to read, and
only where the kept ones reach back beyond the last read: where they are removed at once, nobody knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crewline.wire.keys import Keys

from crewline_operator.redis.reading import Snapshot, Target

#: The end of a job is stamped by its worker, which may be late by so much: what is younger is counted by the next read.
LATE_MS = 1000


def ended_questions(target: Target, now_ms: int, earlier: Snapshot | None) -> list[tuple[str, str, str]]:
    """What to count: a sorted set of ended jobs, and from when to when."""
    if not target.measured or earlier is None:
        return []
    keys = Keys(target.prefix, target.queue)
    after, until = f"({earlier.now_ms - LATE_MS}", str(now_ms - LATE_MS)
    return [(keys.completed, after, until), (keys.failed, after, until), (keys.completed, after, "+inf")]


def ended_in(ends: Sequence[Any], kept: int, earlier: Snapshot | None) -> int | None:
    """How many have ended, with those before `earlier`; None if that is not known.

    Args:
        ends: the answers to `ended_questions`.
        kept: how many completed jobs there are.
    """
    if earlier is None or not ends or None in ends:
        return None
    completed, failed, younger = (int(count) for count in ends)
    if younger >= kept:
        # What has ended before is not there any more: nor may be what has ended since.
        return None
    return (earlier.ended or 0) + completed + failed
