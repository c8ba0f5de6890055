"""Keeping a queue in order: clean, drain, obliterate, retry, promote, change, sweep."""

from __future__ import annotations

import json
from typing import Any

import pytest
from crewline import CrewlineError, DeadLetters, InvalidOption, Job, JobNotFound, Keep, Queue
from crewline.redis.scripts import Result


async def _finish_some(queue: Queue, start_worker: Any, until: Any) -> None:
    async def handle(job: Job) -> None:
        if job.name == "bad":
            raise ValueError("no")

    worker = await start_worker(handle)
    await queue.add_bulk([("good", i) for i in range(5)] + [("bad", i, {"attempts": 1}) for i in range(4)])
    await until(lambda: _ended(queue, 5, 4))
    await worker.stop()


async def _ended(queue: Queue, completed: int, failed: int) -> bool:
    counts = await queue.metrics()
    return (counts.completed, counts.failed, counts.active) == (completed, failed, 0)


async def test_clean_deletes_by_state_age_and_limit(queue: Queue, start_worker: Any, until: Any) -> None:
    await _finish_some(queue, start_worker, until)
    assert await queue.clean("completed", older_than=60) == []
    assert len(await queue.clean("completed", limit=2)) == 2
    assert len(await queue.clean("completed")) == 3
    assert await _ended(queue, 0, 4)
    with pytest.raises(InvalidOption, match="state 'lost'"):
        await queue.clean("lost")


async def test_clean_of_active_spares_jobs_under_a_lease(queue: Queue) -> None:
    await queue.add("n", 1)
    await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=1)
    assert await queue.clean("active") == []
    await queue.redis.delete(queue.keys.job("1") + ":lock")
    assert await queue.clean("active") == ["1"]


async def test_drain_takes_what_waits_and_only_on_demand_what_is_delayed(queue: Queue) -> None:
    await queue.add_bulk([("n", i) for i in range(1200)])
    await queue.add("p", 1, priority=3)
    await queue.add("later", 1, delay=60)
    assert await queue.drain() == 1201
    assert (await queue.metrics()).delayed == 1
    assert await queue.drain(delayed=True) == 1


async def test_obliterate_leaves_nothing_and_wants_a_paused_queue(queue: Queue, start_worker: Any, until: Any) -> None:
    await _finish_some(queue, start_worker, until)
    await queue.add_bulk([("n", i) for i in range(700)])
    await queue.schedule("s", "n", every=60)
    with pytest.raises(CrewlineError, match="not paused"):
        await queue.obliterate()
    await queue.pause()
    await queue.obliterate()
    assert await queue.redis.keys("bull:emails:*") == []


async def test_retry_all_runs_failed_jobs_again_with_all_their_attempts(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    await _finish_some(queue, start_worker, until)
    assert await queue.retry_all() == 4
    job = await queue.get_job("6")
    assert job is not None and await job.state() == "waiting"
    assert (job.attempts_made, job.failed_reason, job.finished_on_ms) == (0, None, None)
    with pytest.raises(CrewlineError, match="has not ended"):
        await queue.retry("6")
    with pytest.raises(JobNotFound):
        await queue.retry("nope")


async def test_promote_and_change_of_delay(queue: Queue) -> None:
    one, two, three = [await queue.add("n", i, delay=60, priority=i) for i in range(3)]
    await queue.promote(one.id)
    assert await one.state() == "waiting"
    with pytest.raises(CrewlineError, match="is not delayed"):
        await queue.promote(one.id)
    await queue.change_delay(two.id, 3600)
    due = await queue.redis.zrange(queue.keys.delayed, 0, -1)
    assert due == [three.id.encode(), two.id.encode()]
    assert await queue.promote_all() == 2
    assert (await queue.metrics()).prioritized == 2


async def test_change_of_priority_moves_a_waiting_job(queue: Queue, start_worker: Any, until: Any) -> None:
    jobs = [await queue.add("n", i, priority=5) for i in range(3)]
    plain = await queue.add("n", 3)
    await queue.change_priority(jobs[2].id, 1)
    await queue.change_priority(plain.id, 5, first=True)
    seen: list[Any] = []

    async def handle(job: Job) -> None:
        seen.append(job.data)

    await start_worker(handle, concurrency=1)
    await until(lambda: len(seen) == 4)
    assert seen == [2, 3, 0, 1]


async def test_update_of_data(queue: Queue) -> None:
    job = await queue.add("n", {"v": 1})
    await queue.update_data(job.id, {"v": 2})
    stored = await queue.get_job(job.id)
    assert stored is not None and stored.data == {"v": 2}
    with pytest.raises(JobNotFound):
        await queue.update_data("nope", 1)
    assert not await queue.redis.exists(queue.keys.job("nope"))


async def test_the_sweep_keeps_retention_on_an_idle_queue_but_for_jobs_with_their_own(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    async def handle(job: Job) -> None: ...

    worker = await start_worker(handle, keep_completed=Keep())
    for job in await queue.add_bulk([("n", i) for i in range(5)]):
        # as a client adds it that says nothing of retention
        await queue.redis.hset(queue.keys.job(job.id), "opts", '{"attempts":1}')
    await queue.add("keep", 1, remove_on_complete=False, job_id="kept")
    await until(lambda: _ended(queue, 6, 0))
    await worker.stop()
    assert await queue.scripts.sweep_jobs("completed", Keep(age_seconds=3600), 100) == (0, False)
    assert await queue.scripts.sweep_jobs("completed", Keep(count=0, age_seconds=None), 100) == (5, False)
    assert await queue.redis.zrange(queue.keys.completed, 0, -1) == [b"kept"]


async def _ended_jobs(queue: Queue, state: str, *opts: dict[str, Any] | None, age_seconds: int) -> list[str]:
    """Jobs that ended so long ago, with these options; None: an id without a job."""
    ended_ms = await queue.scripts.read_clock() - age_seconds * 1000
    ids = []
    for each in opts:
        job_id = f"job-{await queue.redis.zcard(queue.keys.base + state)}"
        ids.append(job_id)
        if each is not None:
            told = {"name": "n", "data": "1", "opts": json.dumps(each), "finishedOn": ended_ms}
            await queue.redis.hset(queue.keys.job(job_id), mapping=told)
        await queue.redis.zadd(queue.keys.base + state, {job_id: ended_ms})
    return ids


async def _left(queue: Queue, state: str) -> list[str]:
    return [job_id.decode() for job_id in await queue.redis.zrange(queue.keys.base + state, 0, -1)]


@pytest.mark.parametrize(("state", "own"), [("completed", "removeOnComplete"), ("failed", "removeOnFail")])
async def test_the_sweep_goes_by_each_jobs_own_age(queue: Queue, state: str, own: str) -> None:
    policies: list[Any] = [{"age": 60}, {"count": 1000, "age": 60}, {"age": 7200}, {"count": 5}, False, 10, True]
    ids = await _ended_jobs(queue, state, *({own: policy} for policy in policies), {}, None, age_seconds=3600)
    assert await queue.scripts.sweep_jobs(state, Keep()) == (4, False)
    kept = [ids[n] for n in (2, 3, 4, 5, 7)]
    assert sorted(await _left(queue, state)) == kept
    # the queue's policy is for the one that says nothing
    assert await queue.scripts.sweep_jobs(state, Keep(age_seconds=60)) == (1, False)
    assert sorted(await _left(queue, state)) == kept[:-1]


async def test_the_sweep_does_not_starve_behind_jobs_that_are_kept(queue: Queue) -> None:
    keep, old = {"removeOnComplete": False}, {"removeOnComplete": {"age": 60}}
    await _ended_jobs(queue, "completed", *[keep] * 25, age_seconds=7200)
    await _ended_jobs(queue, "completed", *[old] * 5, *[keep] * 5, age_seconds=3600)
    gone, calls = 0, 0
    more = True
    while more:
        count, more = await queue.scripts.sweep_jobs("completed", Keep(), 10)
        gone, calls = gone + count, calls + 1
    assert (gone, calls) == (5, 4)
    # and it begins anew
    await _ended_jobs(queue, "completed", old, age_seconds=9000)
    assert (await queue.scripts.sweep_jobs("completed", Keep(), 10))[0] == 1


@pytest.mark.parametrize("raised", [5, None])
async def test_more_room_is_told_to_idle_workers_at_once(queue: Queue, raised: int | None) -> None:
    await queue.set_global_concurrency(1)
    await queue.add_bulk([("n", i) for i in range(3)])
    await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=9000, worker="w", room=1)
    # those that are idle have taken it
    await queue.redis.delete(queue.keys.marker)
    await queue.set_global_concurrency(1)
    assert not await queue.redis.exists(queue.keys.marker)
    await queue.set_global_concurrency(raised)
    assert await queue.redis.zscore(queue.keys.marker, "0") == 0


async def test_a_higher_rate_is_told_to_idle_workers_at_once(queue: Queue) -> None:
    await queue.set_global_rate(1, 600)
    await queue.add_bulk([("n", i) for i in range(2)])
    await queue.redis.delete(queue.keys.marker)
    await queue.set_global_rate(10, 600)
    assert await queue.redis.zscore(queue.keys.marker, "0") == 0
    assert await queue.redis.hmget(queue.keys.meta, "max", "duration") == [b"10", b"600000"]
    await queue.set_global_rate(None)
    assert await queue.redis.hmget(queue.keys.meta, "max", "duration") == [None, None]


async def test_replayed_letters_are_kept_as_completed_jobs_are(queue: Queue) -> None:
    letters = Queue("emails-dlq", redis=queue.redis)
    now_ms = await queue.scripts.read_clock()
    old = {f"old-{n}": now_ms - 90_000_000 for n in range(5)} | {f"new-{n}": now_ms for n in range(1200)}
    told = {"name": "n", "data": "1", "opts": "{}"}
    async with queue.redis.pipeline(transaction=False) as pipe:
        for letter, ended_ms in old.items():
            pipe.hset(letters.keys.job(letter), mapping={**told, "finishedOn": ended_ms})
        pipe.zadd(letters.keys.completed, old)
        await pipe.execute()
    await queue.add("n", 1)
    fetched = await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=9000, worker="w", room=1)
    assert fetched.jobs
    failed = Result("1", "t", "failed", "torn")
    await queue.scripts.finish_and_fetch(
        [failed], letters=letters.keys.base, token="t", lease_ms=9000, worker="w", room=0
    )
    assert await DeadLetters(queue).replay_all() == 1
    left = await _left(letters, "completed")
    assert not [letter for letter in left if letter.startswith("old")] and len(left) < 1205 - 5 + 1
    assert (await DeadLetters(queue).count(), "1" in left) == (0, True)


async def test_the_sweep_lets_what_our_producers_write_by_default_yield_to_the_queues_own_retention(
    queue: Queue, start_worker: Any
) -> None:
    async def handle(job: Job) -> None:
        pass

    await start_worker(handle, keep_completed=Keep())
    for options in ({}, {"remove_on_complete": Keep(age_seconds=600)}):
        await (await queue.add("n", {}, **options)).result(timeout=5)
    for score in await queue.redis.zrange(queue.keys.completed, 0, -1):
        await queue.redis.zincrby(queue.keys.completed, -60_000, score)
    assert await queue.scripts.sweep_jobs("completed", Keep()) == (0, False)
    assert await queue.scripts.sweep_jobs("completed", Keep(age_seconds=30)) == (1, False)
    assert await queue.redis.zrange(queue.keys.completed, 0, -1) == [b"2"]


SAID: dict[str, Keep | None] = {
    "nothing": None, "all": Keep(), "many": Keep(count=10**6), "a minute": Keep(age_seconds=60), "none": Keep(count=0),
}  # fmt: skip
OWN: dict[str, dict[str, Any]] = {
    "nothing": {}, "all": {"remove_on_complete": False, "remove_on_fail": False},
    "an hour": {"remove_on_complete": Keep(age_seconds=3600), "remove_on_fail": Keep(age_seconds=3600)},
}  # fmt: skip


@pytest.mark.parametrize("state", ["completed", "failed"])
@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize("said", SAID)
async def test_the_sweep_keeps_of_old_jobs_what_is_kept_where_they_end(
    queue: Queue, start_worker: Any, until: Any, state: str, own: str, said: str
) -> None:
    """One job ended ten days ago, the other one's end has the retention applied to it."""

    async def handle(job: Job) -> None:
        if state == "failed":
            raise ValueError("no")

    async def left() -> list[bytes]:
        found: list[bytes] = await queue.redis.zrange(queue.keys.base + state, 0, -1)
        return found

    keep = SAID[said]
    worker = await start_worker(handle, keep_completed=keep, keep_failed=keep)
    old = await queue.add("n", {}, attempts=1, **OWN[own])
    await until(lambda: worker.running == 0)

    async def ended() -> bool:
        return await old.state() in (state, "unknown")

    await until(ended)
    await queue.redis.zadd(queue.keys.base + state, {old.id: 1}, xx=True)
    await queue.scripts.sweep_jobs(state, keep)
    swept = await left() == []
    new = await queue.add("n", {}, attempts=1, **OWN[own])

    async def new_ended() -> bool:
        return await new.state() in (state, "unknown")

    await queue.redis.zadd(queue.keys.base + state, {old.id: 1}, xx=True)
    await until(new_ended)
    assert swept == (old.id.encode() not in await left())
    assert swept is (said in ("a minute", "none") if own == "nothing" and said != "nothing" else own != "all")


async def test_an_obliterated_queue_leaves_nothing_of_many_workers_and_flows(queue: Queue) -> None:
    keys = queue.keys
    for n in range(450):
        await queue.scripts.beat(f"w{n}", f"w{n}", 60_000, "{}", "", [])
    pipe = queue.redis.pipeline(transaction=False)
    for n in range(450):
        pipe.zadd(keys.extra("flows"), {f"root{n}": 1 << 50})
        pipe.rpush(keys.extra(f"flow:root{n}"), "adding")
    await pipe.execute()
    await queue.pause()
    await queue.obliterate()
    assert await queue.redis.keys("bull*:emails:*") == []


async def test_obliterate_leaves_the_deduplication_ids_of_jobs_that_were_added_after_it(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    obliterate, added = queue.scripts.obliterate_queue, list[Job]()

    async def then_add(*told: Any) -> int:
        code = await obliterate(*told)
        if code == 1:
            # the queue is gone, and runs again
            added.append(await queue.add("n", 1, dedup="x"))
        return code

    monkeypatch.setattr(queue.scripts, "obliterate_queue", then_add)
    await queue.add("n", 1, dedup="old")
    await queue.redis.hset(f"{queue.keys.base}de:odd", "a", "b")
    await queue.pause()
    await queue.obliterate()
    again = await queue.add("n", 2, dedup="x")
    assert not again.added and again.id == added[0].id
    assert await queue.redis.keys(f"{queue.keys.base}de:*") == [f"{queue.keys.base}de:x".encode()]
