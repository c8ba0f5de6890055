"""The claim on a queue, on a real Redis: who logs in first has it, until it gives it up or is gone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from crewline import Queue
from crewline_operator.effects.actions import Claim, Follow, GiveUpClaim, KeepClaim, Unfollow
from crewline_operator.effects.errors import Refused
from crewline_operator.effects.executor import Executor
from crewline_operator.kube.api import Api
from crewline_operator.kube.store import Store
from crewline_operator.loop.scheduledjobs import ScheduledJobs
from crewline_operator.model.fault import FAULT_CHECK_SECONDS
from crewline_operator.model.key import Key
from crewline_operator.model.owner import CLAIM_SECONDS, UNKNOWN, Owner, claim_key
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.model.settings import Settings
from crewline_operator.redis.bulkhead import Bulkheads
from crewline_operator.redis.claims import renew_claim, take_claim
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.pollers import Pollers
from crewline_operator.redis.reading import Snapshot, Target
from crewline_operator.redis.snapshot import read_snapshots
from crewline_operator.scheduledjob.observe import ScheduledJobObserver
from kubernetes.aio import client as kube_client

from tests.redis.test_operator_executor import Operator

Until = Callable[..., Awaitable[Any]]
KEY = claim_key("bull", "emails")
DIGEST: dict[str, Any] = {
    "metadata": {
        "namespace": "shop",
        "name": "digest",
        "uid": "u",
        "resourceVersion": "1",
        "generation": 1,
        "creationTimestamp": "2026-03-01T11:00:00Z",
    },
    "spec": {"queueRef": {"name": "emails"}, "schedule": "* * * * *", "job": {"name": "digest"}},
}
TARGET = Target("bull", "emails", "emails-dlq")


class Tenant:
    """A JobQueue on the queue `emails`, with an operator of its own."""

    def __init__(self, executor: Executor, pollers: Pollers, owner: Owner, url: str) -> None:
        self.key = Key("JobQueue", owner.namespace, owner.name)
        self.ref = QueueRef(self.key, "bull", "emails")
        self.executor = executor
        self.pollers = pollers
        self.owner = owner
        self.url = url

    async def begin(self) -> None:
        await self.executor.carry_out(self.key, None, [Follow(Endpoint(self.url, "shown"), TARGET)])

    async def claim(self, instead_of: Owner | None = None) -> None:
        await self.executor.carry_out(self.key, None, [Claim(self.ref, self.owner, "shown", instead_of)])

    async def keep(self) -> None:
        await self.executor.carry_out(self.key, None, [KeepClaim(self.ref, self.owner, "shown")])

    async def give_up(self) -> None:
        await self.executor.carry_out(self.key, None, [GiveUpClaim(self.ref, self.owner)])

    @property
    def has_it(self) -> bool:
        return self.executor.done(self.key).claimed is not None


@pytest_asyncio.fixture
async def tenants(redis_url: str) -> AsyncIterator[list[Tenant]]:
    """Two of one name in two clusters, and one that does not know the password."""
    made = []
    async with kube_client.ApiClient() as client:
        api = Api(client)
        wrong = redis_url.replace("redis://", "redis://nobody:wrong@")
        for cluster, url in (("one", redis_url), ("two", redis_url), ("one", wrong)):
            operator = Operator(api)
            owner = Owner(cluster, "shop", "emails", f"uid-{len(made)}")
            made.append(Tenant(operator.executor, operator.pollers, owner, url))
            await made[-1].begin()
        yield made
        for tenant in made:
            await tenant.pollers.close()


async def owner(queue: Queue) -> Owner | None:
    seen = (await read_snapshots(queue.redis, [TARGET]))[TARGET]
    assert isinstance(seen, Snapshot)
    return seen.owner


async def test_whoever_comes_first_keeps_the_queue_until_it_gives_it_up(tenants: list[Tenant], queue: Queue) -> None:
    first, second, _ = tenants
    assert await owner(queue) is None
    await first.claim()
    await second.claim()
    assert (await owner(queue), first.has_it, second.has_it) == (first.owner, True, False)
    await second.give_up()
    assert await owner(queue) == first.owner, "it was not the second's to give up"
    await first.give_up()
    assert (await owner(queue), first.has_it) == (None, False)
    await second.claim()
    assert await owner(queue) == second.owner


async def test_a_claim_without_a_text_is_nobodys_and_one_that_is_too_long_is_somebodys(
    tenants: list[Tenant], queue: Queue
) -> None:
    first, second, _ = tenants
    await queue.redis.set(KEY, first.owner.encode() + " " * 5000)
    await second.claim()
    assert (second.has_it, await owner(queue)) == (False, UNKNOWN)
    await queue.redis.set(KEY, "")
    assert await owner(queue) is None
    await second.claim()
    assert (second.has_it, await owner(queue)) == (True, second.owner)


async def test_whoever_can_not_log_in_claims_nothing(tenants: list[Tenant], queue: Queue) -> None:
    stranger = tenants[-1]
    with pytest.raises(Refused) as refused:
        await stranger.claim()
    assert refused.value.fault.reason == "RedisAuthFailed"
    assert (await owner(queue), stranger.has_it) == (None, False)


async def test_whoever_may_not_write_claims_nothing_and_is_told_so(tenants: list[Tenant], queue: Queue) -> None:
    reader = tenants[-1]
    await queue.redis.execute_command("ACL", "SETUSER", "nobody", "reset", "on", ">wrong", "~*", "+@all", "-set")
    with pytest.raises(Refused) as refused:
        await reader.claim()
    assert refused.value.fault.reason == "RedisPermissionDenied"
    assert (await owner(queue), reader.has_it) == (None, False)
    await queue.redis.execute_command("ACL", "DELUSER", "nobody")


async def test_a_claim_is_renewed_and_changes_hands_by_no_renewal(tenants: list[Tenant], queue: Queue) -> None:
    first, second, _ = tenants
    await first.claim()
    await queue.redis.expire(KEY, 10)
    await first.keep()
    assert await queue.redis.ttl(KEY) > CLAIM_SECONDS - 10
    await second.keep()
    assert await owner(queue) == first.owner
    await queue.redis.delete(KEY)
    await first.keep()
    assert await owner(queue) is None, "a claim that is lost is made anew by a plan, not by a renewal"


async def test_a_claim_names_its_operator_and_no_other_one_renews_it(tenants: list[Tenant], queue: Queue) -> None:
    first = tenants[0]
    await first.claim()
    mine, others = (replace(first.owner, operator=f"ops/{name}") for name in ("one", "two"))
    # Of an earlier release: whoever renews it first looks after the JobQueue.
    for renewing, operator in ((mine, "ops/one"), (others, "ops/one"), (mine, "ops/one")):
        await queue.redis.expire(KEY, 10)
        await first.executor.carry_out(first.key, None, [KeepClaim(first.ref, renewing, "shown")])
        found = await owner(queue)
        assert found is not None and (found, found.operator) == (first.owner, operator)
        assert (await queue.redis.ttl(KEY) > 10) is (renewing is mine)
    await first.executor.carry_out(first.key, None, [Claim(first.ref, others, "shown", instead_of=mine)])
    found = await owner(queue)
    assert found is not None and found.operator == "ops/two"
    await first.give_up()
    assert await owner(queue) is None


async def test_runs_are_left_to_the_operator_that_looks_after_the_jobqueue(
    tenants: list[Tenant], queue: Queue, until: Until
) -> None:
    first, store = tenants[0], Store()
    tried: list[Any] = []
    store.scheduledjobs.put(DIGEST)
    executor, pollers = first.executor, first.pollers

    def scheduledjobs(operator: str) -> ScheduledJobs:
        observer = ScheduledJobObserver(
            store=store,
            pollers=pollers,
            bulkheads=Bulkheads(tried.append, 1),
            done=executor.done,
            cluster_id="one",
            operator=operator,
        )

        def later(key: Key, seconds: float) -> None:
            tried.append((key, seconds))

        return ScheduledJobs(store=store, observer=observer, executor=executor, settings=Settings(), requeue=later)

    looks_after = replace(first.owner, operator="ops/two")
    await executor.carry_out(first.key, None, [Claim(first.ref, looks_after, "shown", None)])
    await until(lambda: (seen := pollers.reading(first.key).snapshot) is not None and seen.owner is not None)
    key = Key("ScheduledJob", "shop", "digest")
    await scheduledjobs("ops/one").reconcile(key)
    assert tried == [(key, FAULT_CHECK_SECONDS)]
    tried.clear()
    with pytest.raises(aiohttp.InvalidURL, match="scheduledjobs/digest/status"):
        # Its status is to be written, to an API server that is not there.
        await scheduledjobs("ops/two").reconcile(key)


async def test_a_claim_is_taken_over_from_the_one_that_is_gone_and_from_nobody_else(
    tenants: list[Tenant], queue: Queue
) -> None:
    first, second, _ = tenants
    gone = Owner("one", "shop", "mails", "uid-of-old")
    await first.claim()
    await second.claim(instead_of=gone)
    assert (await owner(queue), second.has_it) == (first.owner, False)
    await second.claim(instead_of=first.owner)
    assert (await owner(queue), second.has_it) == (second.owner, True)


async def test_a_claim_is_given_up_in_silence_where_its_queue_is_followed_no_more(tenants: list[Tenant]) -> None:
    first = tenants[0]
    await first.claim()
    await first.executor.carry_out(first.key, None, [Unfollow()])
    await first.give_up()
    assert not first.has_it


async def test_a_full_redis_lets_a_claim_hold_on(queue: Queue) -> None:
    owner = Owner("c", "shop", "emails", "u", operator="ops/crewline")
    assert await take_claim(queue.redis, KEY, owner, None)
    await queue.redis.expire(KEY, 10)
    await queue.redis.config_set("maxmemory", 1)
    try:
        await renew_claim(queue.redis, KEY, owner)
    finally:
        await queue.redis.config_set("maxmemory", 0)
    assert await queue.redis.ttl(KEY) > 10
