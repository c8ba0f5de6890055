"""How tests make a suspect."""

from __future__ import annotations

from typing import Any

from crewline import Job, Queue


async def a_suspect(queue: Queue, times: int = 1, data: Any = None, **options: Any) -> Job:
    """A job that was with so many workers that died."""
    await queue.pause()
    job = await queue.add("suspect", data or {}, **options)
    await queue.redis.hset(queue.keys.job(job.id), "suspect", str(times))
    await queue.resume()
    return job
