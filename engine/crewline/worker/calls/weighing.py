"""How long Redis stands still for what results carry, so that a call takes no more of them than it may.

Measured, and told in bytes: what is stored as it is weighs what it is long; what is read, put together or parsed as
well weighs more.
"""

from __future__ import annotations

from collections import deque

from crewline.queue.stored import stored_size
from crewline.redis.scripts import MOST_BYTES, Result
from crewline.wire.text import utf8_size
from crewline.worker.runs.run import Run

#: What the results of one call weigh at most; a heavier one goes alone.
MOST_WEIGHT = MOST_BYTES
#: A stack trace is taken apart from what else is told; those of earlier attempts are parsed and written anew.
TRACE, EARLIER = 3, 5
#: A letter is put together from what the job was added with, which is read for it.
COPIED = 2


def carry(ended: deque[tuple[Run, Result]], most: int, *, letters: bool) -> tuple[list[tuple[Run, Result]], bool]:
    """Takes as many of what has ended, oldest first, as one call carries.

    Args:
        most: how many at most.
        letters: the worker writes dead letters.

    Returns them, and whether it is one that is heavier than that. One that was refused goes by itself.
    """
    carried: list[tuple[Run, Result]] = []
    left = MOST_WEIGHT
    while len(carried) < most:
        if carried and not (ended[0][0].refused is carried[-1][0].refused is None):
            break
        left -= weight(*ended[0], letters)
        if left >= 0:
            carried.append(ended.popleft())
        elif carried:
            break
        else:
            return [ended.popleft()], True
    return carried, False


def weight(run: Run, result: Result, letters: bool) -> int:
    """What settling a result costs, in bytes; ``letters``: the worker writes dead letters."""
    size = utf8_size(result.value)
    if result.outcome == "completed":
        # a parent gets it as well
        return size if run.job.parent_key is None else 2 * size
    size += utf8_size(result.larger)
    if result.outcome == "back":
        return size
    trace, earlier = utf8_size(result.trace), stored_size(run.job, b"stacktrace")
    size += TRACE * trace + EARLIER * earlier
    if letters and result.outcome == "failed" and result.letter:
        size += trace + earlier + COPIED * stored_size(run.job, b"name", b"data", b"opts")
    return size
