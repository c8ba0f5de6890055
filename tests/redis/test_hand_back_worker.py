"""What a worker ran that is known to be dead: others have it at once, with the cause, and nothing of another's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis as sync_redis
from crewline import FlowJob, InvalidOption, Job, Queue
from crewline.redis.scripts import Recovered

from tests.redis.denying import as_weak

LEASE_MS = 30_000
DEAD = {"name": "pod-1.1.ab", "leases": "dead"}


async def fetch(queue: Queue, worker: str, room: int, **more: Any) -> list[str]:
    asked = {"letters": "", "token": f"{worker}:1", "lease_ms": LEASE_MS, "worker": worker, **more}
    fetched = await queue.scripts.finish_and_fetch([], room=room, **asked)
    return [each.id for each in fetched.jobs]


async def fields(queue: Queue, job_id: str, *names: str) -> list[str | None]:
    found = await queue.redis.hmget(queue.keys.job(job_id), names)
    return [value.decode() if value is not None else None for value in found]


async def waiting(queue: Queue) -> list[str]:
    """In the order in which they run."""
    return [job_id.decode() for job_id in reversed(await queue.redis.lrange(queue.keys.wait, 0, -1))]


async def test_a_worker_that_may_have_died_of_a_job_leaves_suspects_that_run_first_and_tell_the_cause(
    queue: Queue,
) -> None:
    await queue.add_bulk([("n", n) for n in range(5)])
    assert await fetch(queue, "dead", 2) == ["1", "2"]
    assert await fetch(queue, "alive", 1) == ["3"]
    assert await queue.hand_back_worker(DEAD, "OOMKilled in pod-1", blame=True) == Recovered(["2", "1"], [], [])
    assert await waiting(queue) == ["1", "2", "4", "5"]
    assert await fields(queue, "1", "suspect", "stc", "ats") == ["1", "1", "1"]
    assert (await queue.redis.lrange(queue.keys.job("1") + ":logs", 0, -1)) == [b"crewline: OOMKilled in pod-1"]
    assert not await queue.redis.exists(queue.keys.job("1") + ":lock")
    assert await queue.job_state("3") == "active"
    assert await queue.redis.get(queue.keys.job("3") + ":lock") == b"alive:1"
    assert await queue.hand_back_worker(DEAD, "again", blame=True) == Recovered([], [], [])


async def test_where_no_job_was_the_cause_each_is_as_it_was_before_it_was_fetched(queue: Queue) -> None:
    await queue.add_bulk([("n", 1), ("n", 2, {"priority": 3})])
    before = [await queue.redis.hgetall(queue.keys.job(job_id)) for job_id in ("1", "2")]
    await fetch(queue, "dead", 2)
    await queue.redis.hset(queue.keys.job("1"), mapping={"alone": "1"})
    await queue.hand_back_worker(DEAD, "evicted", blame=False)
    assert [await queue.redis.hgetall(queue.keys.job(job_id)) for job_id in ("1", "2")] == before
    assert (await waiting(queue), await queue.redis.zrange(queue.keys.prioritized, 0, -1)) == (["1"], [b"2"])
    assert await fetch(queue, "alive", 2) == ["1", "2"]


async def test_what_nobody_had_read_of_never_began(queue: Queue) -> None:
    await queue.add("n", 1)
    await fetch(queue, "dead", 1, unread_ms=1)
    assert await queue.hand_back_worker(DEAD, "OOMKilled", blame=True) == Recovered([], [], ["1"])
    assert await fields(queue, "1", "suspect", "ats") == [None, None]


async def test_a_job_that_took_its_worker_down_too_often_fails_with_the_cause(queue: Queue, start_worker: Any) -> None:
    job = await queue.add("n", 1)
    for _ in range(2):
        await fetch(queue, "dead", 1)
        await queue.redis.hset(queue.keys.job(job.id), "alone", "1")
        found = await queue.hand_back_worker(DEAD, "OOMKilled in pod-1", blame=True, max_crashes=2)
    assert found == Recovered([], [job.id], [])

    async def handle(job: Job) -> None:
        raise AssertionError("it is not to run")

    await start_worker(handle)
    with pytest.raises(Exception, match="job took its worker down 2 times: OOMKilled in pod-1"):
        await job.result(timeout=10)


async def test_where_a_job_that_ran_alone_is_to_fail_the_only_one_of_its_worker_does_at_once(queue: Queue) -> None:
    await queue.add_bulk([("n", 1), ("n", 2)])
    assert (await fetch(queue, "dead", 1), await fetch(queue, "alive", 1)) == (["1"], ["2"])
    found = await queue.hand_back_worker(DEAD, "OOMKilled in pod-1", blame=True, fail_alone=True)
    assert found == Recovered([], ["1"], [])
    assert await fields(queue, "1", "defa") == ["job took its worker down once: OOMKilled in pod-1"]
    assert await queue.job_state("2") == "active"


async def test_of_several_only_one_that_ran_alone_fails_at_once(queue: Queue) -> None:
    await queue.add_bulk([("n", n) for n in range(3)])
    await fetch(queue, "dead", 3)
    await queue.redis.hset(queue.keys.job("2"), "alone", "1")
    # it was the cause of another death before, and is no more than a neighbour now
    await queue.redis.hset(queue.keys.job("3"), "crashes", "1")
    found = await queue.hand_back_worker(DEAD, "OOMKilled", blame=True, fail_alone=True)
    assert found == Recovered(["3", "1"], ["2"], [])
    assert await fields(queue, "1", "crashes", "defa", "suspect") == [None, None, "1"]


async def test_where_not_all_that_is_active_is_seen_at_once_nobody_is_the_only_one(queue: Queue) -> None:
    await queue.add_bulk([("n", n) for n in range(100)])
    await fetch(queue, "dead", 1)
    for _ in range(4):
        await fetch(queue, "alive", 20)
    found = await queue.hand_back_worker(DEAD, "OOMKilled", blame=True, fail_alone=True)
    assert found == Recovered(["1"], [], [])


async def test_without_blame_nobody_fails(queue: Queue) -> None:
    await queue.add("n", 1)
    await fetch(queue, "dead", 1)
    assert (await queue.hand_back_worker(DEAD, "evicted", blame=False, fail_alone=True)) == Recovered(["1"], [], [])


async def test_a_run_that_was_to_be_cancelled_ends(queue: Queue) -> None:
    await queue.add("n", 1)
    await fetch(queue, "dead", 1)
    await queue.cancel("1", "no more")
    assert await queue.hand_back_worker(DEAD, "OOMKilled", blame=True) == Recovered([], [], [])
    assert (await queue.job_state("1"), await fields(queue, "1", "failedReason")) == ("failed", ["no more"])


async def test_of_many_active_jobs_only_the_dead_workers_go_and_in_their_order(queue: Queue) -> None:
    await queue.add_bulk([("n", n) for n in range(300)])
    dead: list[str] = []
    for _ in range(30):
        dead += await fetch(queue, "dead", 5)
        await fetch(queue, "alive", 5)
    found = await queue.hand_back_worker(DEAD, "OOMKilled", blame=True)
    assert sorted(found.back, key=int) == dead
    assert len(dead) == 150
    assert await waiting(queue) == dead
    assert (await queue.metrics()).active == 150


async def test_a_dead_worker_leaves_the_registry_and_another_has_its_job_at_once(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    ran: list[str] = []
    hold = asyncio.Event()

    async def held(job: Job) -> None:
        ran.append("first")
        await hold.wait()

    async def handle(job: Job) -> None:
        ran.append("second")

    first = await start_worker(held, name="first", concurrency=1)
    job = await queue.add("n", 1)
    await until(lambda: ran)
    (entry,) = await queue.workers()
    assert (await queue.redis.get(queue.keys.job(job.id) + ":lock")).startswith(f"{entry['leases']}:".encode())
    assert entry["silent"] < 15
    first.pause()
    # as it is known: nobody hears of what it does
    await queue.hand_back_worker(entry, "its node is gone", blame=False)
    assert await queue.redis.zscore(queue.keys.extra("workers"), entry["name"]) is None
    await start_worker(handle, name="second")
    await until(lambda: "second" in ran)
    hold.set()


async def test_an_entry_that_names_no_leases_is_refused(queue: Queue) -> None:
    for entry in ({}, {"leases": ""}, {"leases": 5}):
        with pytest.raises(InvalidOption, match="names no leases"):
            await queue.hand_back_worker(entry, "OOMKilled", blame=True)


async def test_a_job_whose_end_its_parent_can_not_be_told_stays_the_dead_workers(
    queue: Queue, redis_url: str, admin: sync_redis.Redis
) -> None:
    flow = await queue.add_flow(FlowJob("root", children=[FlowJob("leaf")]))
    [child] = flow.children
    assert await fetch(queue, "dead", 1) == [child.job.id]
    await queue.cancel(child.job.id, "no more")
    async with Queue("emails", redis=as_weak(redis_url)) as weak:
        for right, state in (("-incr", "active"), ("+incr", "failed")):
            admin.execute_command("ACL", "SETUSER", "weak", right)
            # it is found again by its lock
            await weak.hand_back_worker(DEAD, "OOMKilled", blame=False)
            assert await child.job.state() == state
