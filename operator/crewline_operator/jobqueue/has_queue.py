"""Whether a JobQueue has its queue, also where Redis, which keeps the claim, can't be asked. Pure.

Whoever had the queue when Redis answered last has it still. A process that has just started knows that by the
Deployment: each apply of one that has its queue says which one that is. The status would not do, since it tells of a
spec that was changed before anybody has claimed what it asks for.
"""

from __future__ import annotations

from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.key import Object
from crewline_operator.model.names import GROUP
from crewline_operator.model.owner import Owner, read_operator
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.reading import Reading

HAS_QUEUE = f"{GROUP}/has-queue"
#: The Lease of the operator that applied it.
OPERATOR = f"{GROUP}/operator"


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


def operator_of(reading: Reading, deployment: Object | None, me: Owner) -> str:
    """The Lease of the operator that looks after the JobQueue, as far as can be told; '' if it is not told."""
    snapshot = reading.snapshot
    if snapshot is not None:
        return snapshot.owner.operator if snapshot.owner == me else ""
    annotations = (deployment or {"metadata": {}})["metadata"].get("annotations") or {}
    return read_operator(annotations.get(OPERATOR))


def queue_name(jobqueue: JobQueue, observed: Observed) -> str | None:
    """The queue among all queues of all Redis, without a password; None if the Redis is not known."""
    if not isinstance(observed.endpoint, Endpoint):
        return None
    return f"{jobqueue.prefix}:{jobqueue.queue} in {observed.endpoint.shown}"
