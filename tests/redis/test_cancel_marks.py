"""A cancel is for the run that is under way when it comes, and for no later one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewline import Job, Queue
from crewline.redis.scripts import Result


async def _fetch(queue: Queue, token: str) -> str:
    fetched = await queue.scripts.finish_and_fetch([], letters="", token=token, lease_ms=60_000, worker="w", room=1)
    (job,) = fetched.jobs
    return job.id


async def _beat(queue: Queue, *running: tuple[str, str]) -> list[tuple[str, str, str]]:
    return (await queue.scripts.beat("w", "w", 1000, "{}", "", running)).cancels


async def _marks(queue: Queue) -> dict[Any, Any]:
    return dict(await queue.redis.hgetall(queue.keys.extra("cancels")))


async def test_the_run_that_is_meant_is_told_until_it_has_ended_since_an_answer_may_be_lost(queue: Queue) -> None:
    await queue.add("n", 1)
    job_id = await _fetch(queue, "t")
    assert await queue.cancel(job_id, 'no "more"')
    for _ in range(2):
        assert await _beat(queue, (job_id, "t")) == [(job_id, "t", 'no "more"')]
    await _settle(queue, Result(job_id, "t", "failed", 'no "more"'))
    assert await _beat(queue, (job_id, "t")) == []
    assert await _marks(queue) == {}


@pytest.mark.parametrize("outcome", ["completed", "failed"])
async def test_a_cancel_that_came_too_late_goes_with_the_run(queue: Queue, outcome: str) -> None:
    await queue.add("n", 1, job_id="a")
    await _fetch(queue, "t")
    await queue.cancel("a")
    await _settle(queue, Result("a", "t", outcome, '"x"'))
    assert await queue.job_state("a") == outcome
    assert await _marks(queue) == {}


@pytest.mark.parametrize("outcome", ["retry", "back"])
async def test_a_cancel_ends_a_job_whose_run_ends_so_that_it_would_run_again(queue: Queue, outcome: str) -> None:
    await queue.add("n", 1, job_id="a", attempts=5)
    await _fetch(queue, "t")
    await queue.redis.hset(queue.keys.job("a"), mapping={"suspect": "1", "tried": "1"})
    assert await queue.cancel("a", "no more")
    await _settle(queue, Result("a", "t", outcome, "again", suspect=True))
    job = await queue.get_job("a")
    assert job and await job.state() == "failed" and job.failed_reason == "no more"
    assert await _marks(queue) == {}
    assert await queue.redis.hmget(queue.keys.job("a"), "suspect", "tried") == [None, None]
    assert (await queue.metrics()).dead == 0


async def test_a_cancel_of_an_earlier_run_ends_no_later_one(queue: Queue) -> None:
    await queue.add("n", 1, job_id="a", attempts=5)
    await _fetch(queue, "t")
    await queue.redis.hset(queue.keys.extra("cancels"), "a", '["an earlier token", "no more"]')
    await _settle(queue, Result("a", "t", "retry", "again"))
    assert await queue.job_state("a") == "waiting"
    assert await _marks(queue) == {}


async def _settle(queue: Queue, result: Result) -> None:
    await queue.scripts.finish_and_fetch([result], letters="", token="t2", lease_ms=60_000, worker="w", room=0)


async def test_a_cancel_goes_with_the_job_and_not_to_the_next_of_its_id(queue: Queue) -> None:
    await queue.add("n", 1, job_id="a")
    await _fetch(queue, "t")
    await queue.cancel("a")
    await queue.redis.delete(queue.keys.job("a") + ":lock")
    assert await queue.remove("a")
    assert await _marks(queue) == {}
    await queue.add("n", 2, job_id="a")
    await _fetch(queue, "later")
    assert await _beat(queue, ("a", "later")) == []


async def test_a_cancel_of_a_run_whose_worker_died_ends_the_job(queue: Queue) -> None:
    await queue.add("n", 1, attempts=5)
    job_id = await _fetch(queue, "t")
    assert await queue.cancel(job_id, "no more")
    await queue.redis.delete(queue.keys.job(job_id) + ":lock")
    await queue.redis.hset(queue.keys.job(job_id), "processedOn", "1")
    found = await queue.scripts.recover_stalled(1000, 3, lease_ms=1000, once=True)
    assert found == ([], [], [])
    job = await queue.get_job(job_id)
    assert job and await job.state() == "failed" and job.failed_reason == "no more"
    assert await _marks(queue) == {}


async def test_a_cancel_that_another_clients_script_left_there_ends_no_later_run(queue: Queue) -> None:
    await queue.add("n", 1, attempts=5)
    job_id = await _fetch(queue, "foreign")
    assert await queue.cancel(job_id, "no more")
    # it is tried again, by a script that knows of no marks
    await queue.redis.delete(queue.keys.job(job_id) + ":lock")
    await queue.redis.lrem(queue.keys.active, 1, job_id)
    await queue.redis.rpush(queue.keys.wait, job_id)
    await _fetch(queue, "later")
    await queue.redis.delete(queue.keys.job(job_id) + ":lock")
    await queue.redis.hset(queue.keys.job(job_id), "processedOn", "1")
    assert (await queue.scripts.recover_stalled(1000, 3, lease_ms=1000, once=True)).back == [job_id]


async def test_a_worker_that_lost_the_job_leaves_the_cancel_to_the_one_that_runs_it(queue: Queue) -> None:
    await queue.add("n", 1)
    job_id = await _fetch(queue, "t")
    await queue.redis.set(queue.keys.job(job_id) + ":lock", "later", px=60_000)
    await queue.cancel(job_id)
    assert await _beat(queue, (job_id, "t")) == []
    assert await _beat(queue, (job_id, "later")) == [(job_id, "later", "cancelled")]


async def test_a_job_that_is_cancelled_without_a_run_keeps_nothing_of_its_runs(queue: Queue) -> None:
    await queue.add("n", 1)
    await _fetch(queue, "t")
    await queue.cancel("1", "first")
    await queue.redis.delete(queue.keys.job("1") + ":lock")
    await queue.redis.hset(queue.keys.job("1"), mapping={"suspect": "1", "alone": "1", "tried": "1", "blamed": "1:1"})
    await queue.redis.sadd(queue.keys.stalled, "1")
    await queue.cancel("1", "second")
    assert await queue.job_state("1") == "failed"
    assert await queue.redis.hmget(queue.keys.job("1"), "suspect", "alone", "tried", "blamed") == [None] * 4
    assert await _marks(queue) == {} and not await queue.redis.exists(queue.keys.stalled)


async def test_a_worker_is_told_to_cancel_one_run_and_cancels_no_later_one_of_that_job(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    gate = asyncio.Event()

    async def handle(job: Job) -> str:
        await gate.wait()
        return "ran"

    worker = await start_worker(handle)
    job = await queue.add("n", {})
    await until(lambda: worker.running == 1)
    # the beat's answer comes after the job has been handed back and fetched again
    worker._presence._cancel(job.id, "an earlier token", "no more")
    gate.set()
    assert await job.result(timeout=5) == "ran"
