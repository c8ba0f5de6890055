"""A scheduled job's handler: says how far the access-log queue has come. Its return value is the digest."""

import os

from crewline import Job, Queue


async def report(job: Job) -> dict:
    """`job.data`: {"queue": the queue to look at} -> its counts."""
    queue = Queue(job.data["queue"], redis=os.environ["CREWLINE_REDIS_URL"], prefix=os.environ["CREWLINE_PREFIX"])
    async with queue:
        counts = await queue.metrics()
    await job.log(f"{counts.completed} chunks counted, {counts.dead} dead letters")
    return {"completed": counts.completed, "dead": counts.dead, "waiting": counts.waiting + counts.active}
