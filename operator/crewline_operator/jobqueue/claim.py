"""Which Redis queue a JobQueue claims. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from crewline_operator.jobqueue.spec import JobQueue, parse_jobqueue
from crewline_operator.model.fields import Unreadable
from crewline_operator.model.key import Key, Object, status_of
from crewline_operator.redis.claims import Claim
from crewline_operator.redis.endpoint import Endpoint, parse_redis_url


def claim_of(jobqueue: JobQueue, redis: str) -> Claim:
    """The claim of a JobQueue whose Redis is shown as `redis`."""
    return Claim(redis, jobqueue.prefix, jobqueue.queue, jobqueue.created, jobqueue.uid)


def known_claims(jobqueues: Iterable[Object]) -> Iterator[tuple[Key, Claim]]:
    """The claims of JobQueues as far as their specs and statuses tell them."""
    for obj in jobqueues:
        try:
            jobqueue = parse_jobqueue(obj)
        except Unreadable:
            # Told when it is reconciled.
            continue
        endpoint = parse_redis_url(jobqueue.redis_url or "", jobqueue.namespace, "spec.redis.url")
        shown = endpoint.shown if isinstance(endpoint, Endpoint) else status_of(obj).get("redis")
        if isinstance(shown, str):
            yield jobqueue.key, claim_of(jobqueue, shown)
