"""Whether a JobQueue has its queue, also where Redis, which keeps the claim, can't be asked. Pure.

Whoever had the queue when Redis answered last has it still. A process that has just started knows that by the
Deployment: each apply of one that has its queue says which one that is. The status would not do, since it tells of a
spec that was changed before anybody has claimed what it asks for.
"""

from __future__ import annotations

from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.names import GROUP
from crewline_operator.redis.endpoint import Endpoint

HAS_QUEUE = f"{GROUP}/has-queue"


def has_queue(jobqueue: JobQueue, observed: Observed) -> bool:
    """Whether the queue is this JobQueue's, as far as anybody can tell now."""
    snapshot = observed.reading.snapshot
    if snapshot is not None:
        return snapshot.owner is not None and snapshot.owner.uid == observed.me.uid
    if observed.claimed is not None:
        return observed.claimed.queue == jobqueue.queue_ref
    annotations = (observed.deployment or {"metadata": {}})["metadata"].get("annotations") or {}
    named = queue_name(jobqueue, observed)
    return named is not None and annotations.get(HAS_QUEUE) == named


def queue_name(jobqueue: JobQueue, observed: Observed) -> str | None:
    """The queue among all queues of all Redis, without a password; None if the Redis is not known."""
    if not isinstance(observed.endpoint, Endpoint):
        return None
    return f"{jobqueue.prefix}:{jobqueue.queue} in {observed.endpoint.shown}"
