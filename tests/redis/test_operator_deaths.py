"""How the operator hands back what dead workers ran, on a real Redis, with workers that are processes."""

from __future__ import annotations

import asyncio
import math
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from crewline import Job, Queue
from crewline_operator.deaths.observe import DeathObserver
from crewline_operator.deaths.plan import SILENCE_SECONDS
from crewline_operator.effects.actions import Follow, Unfollow
from crewline_operator.loop.deaths import AGAIN_SECONDS, GIVE_UP_SECONDS, Deaths
from crewline_operator.model.key import Key
from crewline_operator.redis.endpoint import Endpoint

from tests.redis.test_operator_executor import EMAILS, Operator, operator, stranger
from tests.unit.operator.deaths.pods import DELETED, NAME, RUNNING, UID, moment, pod, terminated
from tests.unit.operator.factories import jobqueue, jobqueue_object

__all__ = ["operator", "stranger"]

Until = Callable[..., Awaitable[Any]]
POD = Key("Pod", "shop", NAME)
WORKER = """
import asyncio, sys, time
from crewline import Worker

async def handle(job):
    await asyncio.sleep(600)

asyncio.run(Worker("emails", handle, redis=sys.argv[1], worker_id=sys.argv[2], concurrency=int(sys.argv[3])).run())
"""


class Reconciler:
    """Deaths, reconciled as the work queue does it."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.added: list[Key] = []
        self.again: list[tuple[Key, float]] = []
        self.now = 0.0
        self.deaths = self.anew()
        operator.store.jobqueues.put(jobqueue_object())

    def anew(self) -> Deaths:
        """As an operator has it that starts."""
        operator = self.operator
        return Deaths(
            store=operator.store,
            observer=DeathObserver(pollers=operator.pollers, bulkheads=operator.bulkheads),
            executor=operator.executor,
            add=self.added.append,
            requeue=lambda key, seconds: self.again.append((key, seconds)),
            clock=lambda: time.monotonic() + self.now,
        )

    async def see(self, seen: dict[str, Any], gone: bool = False) -> None:
        """A watch tells of a pod."""
        pods = self.operator.store.pods
        version = str(int(time.monotonic() * 1e6))
        seen = seen | {"metadata": seen["metadata"] | {"resourceVersion": version}}
        pods.remove(seen) if gone else pods.put(seen)
        self.deaths.on_pod(seen)
        while self.added:
            await self.deaths.reconcile(self.added.pop())


@pytest.fixture
def reconciler(operator: Operator) -> Reconciler:
    return Reconciler(operator)


@asynccontextmanager
async def process(
    redis_url: str, worker_id: str = UID, concurrency: int = 2
) -> AsyncIterator[asyncio.subprocess.Process]:
    started = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, redis_url, worker_id, str(concurrency))
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


def entries(queue: Queue, number: int, held: int) -> Callable[[], Awaitable[Any]]:
    """A look at the registry, for so many workers with so many jobs."""

    async def look() -> Any:
        found = await queue.workers()
        return len(found) == number and sum(each["busy"] for each in found) == held and found

    return look


async def killed(dead: asyncio.subprocess.Process, began: float, until: Until) -> str:
    """Kills it in another second than that in which it began, and returns when, as a kubelet tells it."""
    await until(lambda: int(time.time()) > began)
    dead.send_signal(signal.SIGKILL)
    await dead.wait()
    return moment(time.time())


async def states(queue: Queue, jobs: list[Job]) -> list[str]:
    return [await queue.job_state(job.id) for job in jobs]


async def log(queue: Queue, job: Job) -> list[str]:
    return [line.decode() for line in await queue.redis.lrange(queue.keys.job(job.id) + ":logs", 0, -1)]


async def test_a_dead_workers_jobs_go_back_at_once_and_those_of_the_one_in_its_place_stay(
    reconciler: Reconciler, queue: Queue, redis_url: str, until: Until, caplog: Any
) -> None:
    caplog.set_level("INFO", "crewline_operator")
    jobs = await queue.add_bulk([("n", n) for n in range(4)])
    async with process(redis_url) as first:
        (entry,) = await until(entries(queue, 1, 2))
        finished = await killed(first, entry["began"], until)
    async with process(redis_url):
        await until(entries(queue, 2, 4))
        dead = terminated(137, "OOMKilled", finished)
        await reconciler.see(pod(RUNNING, dead, restarts=1, limit="64Mi"))
        assert await states(queue, jobs) == ["active"] * 4
        assert 0 < reconciler.again[-1][1] <= SILENCE_SECONDS, "it has to be silent for longer than one that lives"

        async def handed_back() -> bool:
            await reconciler.deaths.reconcile(POD)
            return await states(queue, jobs) == ["waiting", "waiting", "active", "active"]

        await until(handed_back)
        assert await log(queue, jobs[0]) == [f"crewline: OOMKilled in pod {NAME}, whose memory limit is 64Mi"]
        assert [each["id"] for each in await queue.workers()] == [UID]
        said = f"WorkerDied: OOMKilled in pod {NAME}, whose memory limit is 64Mi; 2 of its jobs handed back"
        assert caplog.text.count("WorkerDied") == caplog.text.count(said) == 1

        # Told again, also to an operator that starts: it is done, and not said twice.
        await reconciler.see(pod(RUNNING, dead, restarts=1))
        reconciler.deaths = reconciler.anew()
        await reconciler.see(pod(RUNNING, dead, restarts=1))
        await reconciler.deaths.reconcile(POD)
        assert await states(queue, jobs) == ["waiting", "waiting", "active", "active"]
        assert caplog.text.count("WorkerDied") == 1


async def test_jobs_of_a_pod_that_is_drained_are_as_they_were_before(
    reconciler: Reconciler, queue: Queue, redis_url: str, until: Until
) -> None:
    job = await queue.add("n", 1)
    before = await queue.redis.hgetall(queue.keys.job(job.id))
    async with process(redis_url) as dead:
        (entry,) = await until(entries(queue, 1, 1))
        finished = await killed(dead, entry["began"], until)
    # All that is seen is that the pod is gone: the watch was away.
    await reconciler.see(pod(terminated(137, finished=finished), metadata=DELETED), gone=True)
    assert await states(queue, [job]) == ["waiting"]
    assert await queue.redis.hgetall(queue.keys.job(job.id)) == before
    assert await log(queue, job) == [f"crewline: pod {NAME} was deleted"]


async def test_one_that_waits_to_lead_keeps_what_it_saw_for_its_turn(
    reconciler: Reconciler, queue: Queue, redis_url: str, until: Until
) -> None:
    job = await queue.add("n", 1)
    async with process(redis_url) as dead:
        (entry,) = await until(entries(queue, 1, 1))
        finished = await killed(dead, entry["began"], until)
    reconciler.operator.fence.close()
    await reconciler.see(pod(terminated(137, finished=finished), metadata=DELETED), gone=True)
    assert await states(queue, [job]) == ["active"]
    ((_, again_in),) = reconciler.again
    assert again_in >= GIVE_UP_SECONDS - 1, "nothing is to be done before it leads"
    reconciler.operator.fence.extend(math.inf)
    reconciler.deaths.add_all()
    assert reconciler.added == [POD]
    await reconciler.deaths.reconcile(reconciler.added.pop())
    assert await states(queue, [job]) == ["waiting"]


async def test_a_dead_worker_is_looked_for_in_the_queue_that_is_served(
    reconciler: Reconciler, queue: Queue, redis_url: str, until: Until
) -> None:
    """The spec names another one, and that move waits."""
    moving = jobqueue_object(queue="new")
    served = {"queue": "emails", "redis": {"url": "redis://redis:6379/0", "prefix": "bull"}}
    moving["metadata"]["resourceVersion"] = str(int(moving["metadata"]["resourceVersion"]) + 1)
    reconciler.operator.store.jobqueues.put(moving | {"status": {"served": served}})
    job = await queue.add("n", 1)
    async with process(redis_url) as dead:
        (entry,) = await until(entries(queue, 1, 1))
        finished = await killed(dead, entry["began"], until)
    await reconciler.see(pod(terminated(137, finished=finished)))
    assert await states(queue, [job]) == ["waiting"]


async def test_a_pod_that_is_gone_while_its_container_may_run_tells_nothing(
    reconciler: Reconciler, queue: Queue, redis_url: str, until: Until
) -> None:
    job = await queue.add("n", 1)
    async with process(redis_url):
        await until(entries(queue, 1, 1))
        await reconciler.see(pod(RUNNING, metadata=DELETED), gone=True)
        assert await states(queue, [job]) == ["active"]


async def test_it_is_done_once_the_queue_is_read_and_its_redis_has_room(
    reconciler: Reconciler, queue: Queue, redis_url: str, until: Until
) -> None:
    job = await queue.add("n", 1)
    operator = reconciler.operator
    endpoint = Endpoint(redis_url, "shown")
    async with process(redis_url) as dead:
        (entry,) = await until(entries(queue, 1, 1))
        finished = await killed(dead, entry["began"], until)
    await operator.do(Unfollow())
    # The pod goes before it is dealt with.
    await reconciler.see(pod(terminated(1, finished=finished)), gone=True)
    assert (reconciler.again, await states(queue, [job])) == ([(POD, AGAIN_SECONDS)], ["active"])
    await operator.do(Follow(endpoint, jobqueue().target))
    with operator.bulkheads.enter(endpoint, EMAILS), operator.bulkheads.enter(endpoint, EMAILS):
        await reconciler.deaths.reconcile(POD)
    assert await states(queue, [job]) == ["active"]
    assert operator.again == [POD], "it is its turn once somebody has left"
    await reconciler.deaths.reconcile(POD)
    assert await states(queue, [job]) == ["waiting"]
    assert not reconciler.deaths.known


async def test_nothing_is_kept_of_a_pod_that_is_gone(reconciler: Reconciler) -> None:
    """Its worker took leave, so that nothing of it is found."""
    ended = pod(terminated(0, "Completed"), metadata=DELETED)
    await reconciler.see(ended)
    assert reconciler.deaths.known == {POD}
    await reconciler.see(ended, gone=True)
    assert not reconciler.deaths.known
    # A namesake comes before its predecessor's end is told.
    await reconciler.see(pod(RUNNING, terminated(1), restarts=1))
    await reconciler.see(pod(RUNNING, terminated(1), restarts=1, metadata={"uid": "another"}))
    await reconciler.see(pod(RUNNING, metadata={"uid": "another"}), gone=True)
    assert not reconciler.deaths.known


async def test_one_that_lives_keeps_its_jobs_where_its_nodes_clock_was_set_back(
    reconciler: Reconciler, queue: Queue, redis_url: str, until: Until
) -> None:
    """By it the container before ended after this worker began: each operator that starts sees that anew."""
    job = await queue.add("n", 1)
    async with process(redis_url):
        (entry,) = await until(entries(queue, 1, 1))
        ended = terminated(255, "Unknown", moment(entry["began"] + 3600))
        for _ in range(2):
            reconciler.again.clear()
            await reconciler.see(pod(RUNNING, ended, restarts=1))
            assert await states(queue, [job]) == ["active"]
            assert 0 < reconciler.again[-1][1] <= SILENCE_SECONDS
            reconciler.deaths = reconciler.anew()
        # Seen long enough ago: it has beaten since.
        reconciler.now = -SILENCE_SECONDS
        reconciler.deaths.on_pod(pod(RUNNING, ended, restarts=1))
        reconciler.again.clear()
        await reconciler.deaths.reconcile(POD)
        assert (await states(queue, [job]), reconciler.again) == (["active"], [])


async def test_a_worker_that_is_heard_of_after_its_end_was_seen_keeps_its_jobs_until_its_leases_are_over(
    reconciler: Reconciler, queue: Queue, redis_url: str, until: Until
) -> None:
    """Clocks may be wrong: this one began long before the end that is told of, and lives."""
    job = await queue.add("n", 1)
    async with process(redis_url):
        await until(entries(queue, 1, 1))
        seen = pod(terminated(1, finished=moment(time.time() + 60)))
        # Seen before it was heard of last.
        reconciler.now = -5.0
        reconciler.deaths.on_pod(seen)
        reconciler.now = 0.0
        await reconciler.see(seen)
        assert await states(queue, [job]) == ["active"]
        reconciler.now = GIVE_UP_SECONDS
        await reconciler.see(seen)
        assert await states(queue, [job]) == ["active"]
