"""How much of what may be large one call reads: an entry may hold as much as a job's result can."""

from __future__ import annotations

from collections.abc import Collection

#: So many bytes a call, and so many entries; ten at first, since nothing is known of them then. A MB takes Redis 0.2
#: ms, a thousand entries 0.7 ms.
READ_BYTES, READ_MOST, READ_FIRST = 2_000_000, 1000, 10


def next_count(count: int, sizes: Collection[int], most: int = READ_MOST) -> int:
    """How many entries to read next, where the last call asked for ``count`` and brought entries of so many bytes."""
    if not sizes:
        return count
    fitting = READ_BYTES * len(sizes) // max(sum(sizes), 1)
    return max(1, min(4 * count, fitting, most))
