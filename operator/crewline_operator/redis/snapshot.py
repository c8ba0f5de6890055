"""Reads what queues hold at one moment, in a few pipelined round trips for all of them together.

The first trip counts; the others ask only for what it made known: due jobs, the oldest job's age, what the limits have
left, now and then the running jobs' progress, and where there are none of these what has happened last. Of nothing that
users write is more read than a bound of entries and bytes (bounded.py), and what has no such bound fails for its own
queue alone (apart.py).
"""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType

from crewline.redis.topology import is_cluster
from crewline.wire.text import text
from redis.asyncio import Redis

from crewline_operator.model.fault import Fault
from crewline_operator.redis.age import integer
from crewline_operator.redis.apart import Apart
from crewline_operator.redis.counts import Counts, read_counts
from crewline_operator.redis.details import Details, read_details
from crewline_operator.redis.nodes import read_nodes
from crewline_operator.redis.reading import Snapshot, Target


async def read_snapshots(
    redis: Redis,
    targets: Sequence[Target],
    sleeping: Container[Target] = (),
    earlier: Mapping[Target, Snapshot] = MappingProxyType({}),
    apart: Apart | None = None,
) -> dict[Target, Snapshot | Fault]:
    """Read all targets, each or why it can't be read; raises what redis-py raises where Redis can't be reached.

    Of those that are `sleeping` the last event comes first, so that whatever is added later has a later event. What has
    ended is counted on from the `earlier` read, and what runs is taken from it as long as it is fresh. What a cluster's
    other nodes have is read although one of them is away.

    Args:
        apart: knows which of this Redis are read apart.
    """
    if not targets:
        return {}
    kept = apart or Apart()

    async def read(few: Sequence[Target], has_events: bool) -> dict[Target, Snapshot | Fault]:
        return await _read(redis, few, sleeping, earlier, has_events)

    if is_cluster(redis):
        return await read_nodes(redis, targets, lambda part: kept.read(part, read))
    return await kept.read(targets, read)


async def _read(
    redis: Redis,
    targets: Sequence[Target],
    sleeping: Container[Target],
    earlier: Mapping[Target, Snapshot],
    has_events: bool,
) -> dict[Target, Snapshot | Fault]:
    """Read those of one server."""
    found: dict[Target, Snapshot | Fault] = {}
    now_ms, counts = await read_counts(redis, targets, sleeping, has_events)
    read_at = time.monotonic()
    details = await read_details(redis, counts, now_ms, earlier, read_at)
    for target, count in counts.items():
        if isinstance(count, Fault):
            found[target] = count
        else:
            detail = details[target]
            found[target] = detail if isinstance(detail, Fault) else _snapshot(count, detail, now_ms, read_at)
    return found


def _snapshot(count: Counts, detail: Details, now_ms: int, read_at: float) -> Snapshot:
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
        limits=detail.limits,
        next_due_ms=count.next_due_ms,
        oldest_waiting_ms=detail.oldest_ms,
        running=detail.running,
        running_at=detail.running_at,
        mark=f"{text(count.last_id or b'')} {detail.last_event}",
        added=integer(count.last_id or b"0"),
        ended=detail.ended,
        read_at=read_at,
        position=count.position,
        owner=count.owner,
        settings=count.settings,
        schedulers=count.schedulers,
        larger=count.larger,
        larger_from_ms=count.larger_from_ms,
    )
