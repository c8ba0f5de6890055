"""Reads the queues of a Redis Cluster node by node: by each one's clock, and whatever becomes of the others.

A pipeline goes to the nodes that the client knows of. Where one does not answer, or has other slots by now, the client
is made to ask for the nodes anew; in a pipeline it does not do so by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from crewline.redis.connection import UNAVAILABLE
from crewline.wire.keys import Keys
from redis.asyncio import Redis

from crewline_operator.model.fault import Fault
from crewline_operator.redis.faults import redis_fault
from crewline_operator.redis.reading import Snapshot, Target

Read = Callable[[Sequence[Target]], Awaitable[dict[Target, Snapshot | Fault]]]


async def read_nodes(redis: Redis, targets: Sequence[Target], read: Read) -> dict[Target, Snapshot | Fault]:
    """Have the targets of each node read by `read`; raises what it raised if all failed."""
    cluster: Any = await redis.initialize()
    parts: dict[Any, list[Target]] = {}
    for target in targets:
        node = cluster.get_node_from_key(Keys(target.prefix, target.queue).base)
        parts.setdefault(node, []).append(target)
    answers = await asyncio.gather(*map(read, parts.values()), return_exceptions=True)
    found: dict[Target, Snapshot | Fault] = {}
    errors = []
    for (node, part), answer in zip(parts.items(), answers, strict=True):
        if isinstance(answer, dict):
            found |= answer
        elif isinstance(answer, UNAVAILABLE):
            errors.append(answer)
            found |= dict.fromkeys(part, redis_fault(answer, f"{node.host}:{node.port}"))
        else:
            raise answer
    if errors:
        await redis.aclose()
    if len(errors) == len(parts):
        raise errors[0]
    return found
