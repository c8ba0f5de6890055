"""Parts jobs among calls: a call holds so many, and so many bytes, that Redis does not stand still for long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from crewline.redis.scripts.values import MOST_BYTES
from crewline.wire.options import Encoded, Shape
from crewline.wire.text import utf8_size

Item = TypeVar("Item")


def parts(items: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    """The items in their order, ``most`` at a time."""
    return (items[start : start + most] for start in range(0, len(items), most))


def places(jobs: Sequence[Encoded], most: int) -> Iterator[slice]:
    """The places of what goes in each call: as many jobs, in their order, as one holds, and ``most`` at most.

    A job that is too large for any goes by itself.
    """
    shape: Shape | None = None
    start = held = shared = 0
    for place, (job_id, data, each) in enumerate(jobs):
        # most jobs of a producer have the same
        if each is not shape:
            shape, shared = each, sum(map(utf8_size, each))
        size = shared + len(job_id) + (len(data) if data.isascii() else len(data.encode()))
        if held and (place - start == most or held + size > MOST_BYTES):
            yield slice(start, place)
            start, held = place, 0
        held += size
    if held:
        yield slice(start, len(jobs))
