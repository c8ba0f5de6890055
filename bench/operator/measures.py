"""What is measured, each on a stage."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from crewline import Queue

from bench.operator.stage import Stage

Step = Callable[..., None]

#: A queue that has fallen asleep is left alone for so long, and up to twice as long, before the next job: jobs do not
#: come at a certain time after an earlier one.
SETTLE_SECONDS = 1.0
BACKLOG = 1000


async def some_queues(stage: Stage, prefix: str, count: int) -> list[str]:
    """So many queues of that prefix, all of them asleep."""
    names = [f"{prefix}{number}" for number in range(count)]
    await stage.create(name for name in names if name not in stage.made)
    await _until_ready(stage, len(stage.made))
    for name in names:
        await stage.replicas.become(name, 0)
    await asyncio.sleep(3)
    return names


async def wake(stage: Stage, names: Sequence[str], samples: int, step: Step) -> dict[str, Any]:
    """From the call that adds a job to a queue at zero until its Deployment is seen to ask for a worker."""
    took = []
    order = random.Random(1).sample(names, len(names)) if len(names) >= samples else list(names) * samples
    for name in order[:samples]:
        await stage.producer.open(name)
        await asyncio.sleep(SETTLE_SECONDS * random.uniform(1, 2))
        began = time.monotonic()
        seen = asyncio.create_task(stage.replicas.become(name, 1))
        await stage.producer.add(name)
        took.append(await seen - began)
        await _empty(stage, name)
        await stage.replicas.become(name, 0)
        step()
    return {"queues": len(names), **times(took)}


async def backlog(stage: Stage, samples: int, step: Step) -> dict[str, Any]:
    """From the call that adds 1,000 jobs to a queue with a worker until its Deployment is seen to ask for ten."""
    names = [f"backlog{number}" for number in range(samples)]
    await stage.create(names, minReplicas=1, maxReplicas=10)
    took = []
    for name in names:
        await stage.replicas.become(name, 1)
        await asyncio.sleep(SETTLE_SECONDS * random.uniform(0.2, 1.2))
        async with Queue(name, redis=stage.url) as queue:
            await queue.metrics()
            began = time.monotonic()
            seen = asyncio.create_task(stage.replicas.become(name, 10))
            await queue.add_bulk([("job", {})] * BACKLOG)
            took.append(await seen - began)
        await stage.delete(name)
        step()
    return {"queues": 1, **times(took)}


async def created(stage: Stage, count: int, step: Step) -> dict[str, Any]:
    """From the first of so many JobQueues that is created until all of them say that they are ready."""
    ready_before, began = await stage.ready(), time.monotonic()
    await stage.create((f"many{number}" for number in range(count)), step)
    made = time.monotonic() - began
    await _until_ready(stage, ready_before + count)
    return {"queues": count, "created_seconds": made, "ready_seconds": time.monotonic() - began}


async def idle(stage: Stage, seconds: float, step: Step) -> dict[str, Any]:
    """What queues without jobs cost, once Kubernetes' own controllers have done with their Deployments."""
    for _ in range(60):
        before = await stage.api_writes()
        await asyncio.sleep(10)
        if await stage.api_writes() == before:
            break
    writes, cpu, began = await stage.api_writes(), stage.cpu_seconds(), time.monotonic()
    while time.monotonic() < began + seconds:
        await asyncio.sleep(1)
        step()
    took = time.monotonic() - began
    return {
        "queues": len(stage.made),
        "cores": (stage.cpu_seconds() - cpu) / took,
        "rss_mib": stage.resident_mib(),
        "redis_connections": await stage.connections(),
        "api_writes_a_minute": (await stage.api_writes() - writes) * 60 / took,
    }


async def _until_ready(stage: Stage, count: int) -> None:
    for _ in range(900):
        if await stage.ready() >= count:
            return
        await asyncio.sleep(1)
    raise TimeoutError(f"not all of {count} JobQueues are ready")


async def _empty(stage: Stage, name: str) -> None:
    async with Queue(name, redis=stage.url) as queue:
        await queue.drain()


def times(took: Sequence[float]) -> dict[str, Any]:
    """Percentiles of times in seconds."""
    ordered = sorted(took)
    return {
        "samples": len(ordered),
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "max_ms": 1000 * ordered[-1],
    }
