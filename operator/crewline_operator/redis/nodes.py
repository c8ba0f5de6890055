"""Reads the queues of a Redis Cluster node by node: by each one's clock, and whatever becomes of the others.

A pipeline goes to the nodes that the client knows of, and does not ask for others by itself. So where one does not
answer they are asked for anew: another may have its slots by now. The client is not closed for that, as redis-py would
do it: it can't be opened again as long as the first of the masters is away.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from crewline.redis.connection import UNAVAILABLE
from crewline.wire.keys import Keys
from redis.asyncio import Redis
from redis.exceptions import RedisClusterException

from crewline_operator.model.fault import Fault
from crewline_operator.redis.faults import redis_fault
from crewline_operator.redis.reading import Snapshot, Target

Read = Callable[[Sequence[Target]], Awaitable[dict[Target, Snapshot | Fault]]]


async def read_nodes(redis: Redis, targets: Sequence[Target], read: Read) -> dict[Target, Snapshot | Fault]:
    """Have the targets of each node read by `read`; raises what it raised if all failed."""
    cluster: Any = await redis.initialize()
    parts: dict[Any, list[Target]] = {}
    found: dict[Target, Snapshot | Fault] = {}
    errors: list[BaseException] = []
    for target in targets:
        try:
            node = cluster.get_node_from_key(Keys(target.prefix, target.queue).base)
        except RedisClusterException as error:
            # Nobody has its slot, as far as is known: those of other slots are none the worse for it.
            errors.append(error)
            found[target] = redis_fault(error, "cluster")
        else:
            parts.setdefault(node, []).append(target)
    answers = await asyncio.gather(*map(read, parts.values()), return_exceptions=True)
    for (node, part), answer in zip(parts.items(), answers, strict=True):
        if isinstance(answer, dict):
            found |= answer
        elif isinstance(answer, UNAVAILABLE):
            errors.append(answer)
            found |= dict.fromkeys(part, redis_fault(answer, f"{node.host}:{node.port}"))
        else:
            raise answer
    if errors:
        with contextlib.suppress(*UNAVAILABLE):
            await cluster.nodes_manager.initialize()
    if errors and not any(isinstance(answer, dict) for answer in answers):
        raise errors[0]
    return found
