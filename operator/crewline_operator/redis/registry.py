"""Reads the registry of a queue's workers, of which anybody may have written each entry: so many, and so much of each.

Who is left out is one of whom nothing is known: no worker is taken for idle or for dead by that.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from crewline.queue.queue import Queue
from crewline.redis.topology import add_time
from crewline.wire.registry import REGISTRY_KEY, TTL_MS, entry_key
from crewline.wire.text import lenient, text

from crewline_operator.redis.bounded import read_strings

#: Those that were heard of last.
WORKERS_MAX = 5000
#: Bytes of an entry, which names up to 50 jobs, and of all entries.
ENTRY_MAX_BYTES = 65536
ENTRIES_MAX_BYTES = 8 * 2**20


async def read_entries(queue: Queue, ids: Collection[str]) -> list[dict[str, Any]]:
    """What the workers with these ids tell of themselves, as `Queue.workers` has it. Raises what redis-py raises."""
    async with queue.redis.pipeline(transaction=False) as pipe:
        await add_time(queue.redis, pipe, queue.keys.base)
        pipe.zrange(queue.keys.extra(REGISTRY_KEY), 0, WORKERS_MAX - 1, True, True)
        (seconds, micros), found = await pipe.execute()
    now_ms = seconds * 1000 + micros / 1000
    ends = {queue.keys.extra(entry_key(text(name))): ends_ms for name, ends_ms in found}
    entries = []
    async for key, stored in read_strings(queue.redis, list(ends), ENTRY_MAX_BYTES, ENTRIES_MAX_BYTES):
        worker = lenient(stored)
        # What no worker wrote tells of none.
        if isinstance(worker, dict) and str(worker.get("id")) in ids:
            entries.append(worker | {"silent": max(now_ms - (ends[key] - TTL_MS), 0) / 1000})
    return entries
