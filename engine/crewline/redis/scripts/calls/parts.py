"""Parts jobs among calls: a call holds so many, and so many bytes, that Redis does not stand still for long."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from crewline.redis.scripts.values import MOST_BYTES
from crewline.wire.options import Encoded, Shape
from crewline.wire.text import utf8_size

Item = TypeVar("Item")


def parts(items: Sequence[Item], most: int, sizes: Iterable[int] | None = None) -> Iterator[Sequence[Item]]:
    """The items in their order, as many at a time as a call holds; one that is too large for any by itself.

    Args:
        most: how many at most.
        sizes: the bytes of each, where they count.
    """
    start = held = 0
    for place, size in enumerate(itertools.repeat(0, len(items)) if sizes is None else sizes):
        if place > start and (place - start == most or held + size > MOST_BYTES):
            yield items[start:place]
            start, held = place, 0
        held += size
    if start < len(items):
        yield items[start:]


def sizes_of(jobs: Iterable[Encoded]) -> Iterator[int]:
    """The bytes of each job, as Redis stores it."""
    shape: Shape | None = None
    shared = 0
    for job in jobs:
        # most jobs of a producer have the same
        if job.shape is not shape:
            shape, shared = job.shape, sum(map(utf8_size, job.shape))
        yield shared + utf8_size(job.data) + len(job.job_id)
