"""A JobQueue that is deleted has its queue until it is gone: as long as a finalizer holds it its workers run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from crewline import Queue
from crewline_operator.loop.jobqueues import JobQueues
from crewline_operator.loop.metrics import Metrics
from crewline_operator.model.owner import Owner, claim_key
from crewline_operator.model.settings import Settings
from crewline_operator.redis.claims import take_claim

from tests.redis.test_operator_executor import EMAILS, Operator, stranger
from tests.unit.operator.factories import deployment, jobqueue_object, service_account

__all__ = ["stranger"]

Until = Callable[..., Awaitable[Any]]
KEY = claim_key("bull", "emails")


async def test_it_is_read_and_has_its_queue_until_it_is_gone(
    stranger: Operator, queue: Queue, redis_url: str, until: Until
) -> None:
    jobqueues = JobQueues(
        store=stranger.store,
        observer=stranger.observer(),
        executor=stranger.executor,
        metrics=Metrics(),
        settings=Settings(),
        requeue=stranger.requeue,
    )
    going = jobqueue_object(redis={"url": redis_url, "prefix": "bull"})
    going["metadata"] |= {"deletionTimestamp": "2026-03-01T12:00:00Z", "finalizers": ["shop/backup"]}
    stranger.store.jobqueues.put(going)
    for child in (deployment(1), service_account()):
        stranger.store.of(child["kind"]).put(child)
    me = Owner(stranger.api.cluster_id, "shop", "emails", going["metadata"]["uid"])
    assert await take_claim(queue.redis, KEY, me, None)

    await jobqueues.reconcile(EMAILS)
    await until(lambda: stranger.pollers.reading(EMAILS).snapshot is not None)
    await queue.redis.expire(KEY, 10)
    await jobqueues.reconcile(EMAILS)
    assert await queue.redis.ttl(KEY) > 10, "it is renewed, too"
    assert stranger.pollers.followed(EMAILS) is not None

    stranger.store.jobqueues.remove(going)
    await jobqueues.reconcile(EMAILS)
    assert not await queue.redis.exists(KEY)
    assert stranger.pollers.followed(EMAILS) is None
