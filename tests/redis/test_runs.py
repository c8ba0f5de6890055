"""Runs of what somebody else schedules: each is added once, also where its job is gone, and one lies ahead at most."""

from __future__ import annotations

import json
from typing import Any

import pytest
from crewline import Job, Queue
from crewline.wire.options import encode_job
from redis.exceptions import ResponseError

HOUR = 3_600_000


async def add(queue: Queue, run_ms: int, data: Any = 1, digest: str = "d", **options: Any) -> bool:
    job = encode_job("digest", data, **options)
    return await queue.scripts.add_run("uid", run_ms, '{"name": "digest"}', digest, job)


async def told(queue: Queue) -> dict[str, Any]:
    stored = await queue.redis.hget(queue.keys.extra("runs"), "uid")
    return dict(json.loads(stored)) if stored else {}


async def now(queue: Queue) -> int:
    return await queue.scripts.read_clock()


async def test_a_run_that_is_due_is_added_once_though_its_job_is_gone(queue: Queue) -> None:
    run = await now(queue) - 1000
    assert await add(queue, run, priority=3, attempts=7)
    job = await queue.get_job(f"uid-{run}")
    assert job is not None
    assert (job.name, job.data, job.attempts, job.opts["priority"], await job.state()) == ("digest", 1, 7, 3, "waiting")
    assert not await add(queue, run)
    assert await queue.remove(job.id)
    assert not await add(queue, run), "it was decided"
    assert not await add(queue, run - 1), "and all before it with it"
    assert await add(queue, run + 1)
    assert await told(queue) == {"name": "digest", "decided": str(run + 1)}


async def test_a_run_that_was_placed_ahead_and_is_done_and_gone_is_not_added_again(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    done: list[str] = []

    async def handle(job: Job) -> None:
        done.append(job.id)

    await start_worker(handle)
    run = await now(queue) + 100
    assert await add(queue, run, remove_on_complete=True)
    await until(lambda: done)
    await until(lambda: _is_gone(queue, f"uid-{run}"))
    assert not await add(queue, run)
    assert done == [f"uid-{run}"]


async def _is_gone(queue: Queue, job_id: str) -> bool:
    return await queue.job_state(job_id) == "unknown"


async def test_of_the_runs_ahead_there_is_one(queue: Queue) -> None:
    first = await now(queue) + HOUR
    assert await add(queue, first)
    assert not await add(queue, first), "it is there"
    assert await add(queue, first, data=2, digest="e")
    job = await queue.get_job(f"uid-{first}")
    assert job is not None and job.data == 2, "made from something else now"
    assert await add(queue, first - 60_000), "an earlier one, since the schedule was changed"
    assert await queue.job_state(job.id) == "unknown"
    assert (await queue.metrics()).delayed == 1
    assert await add(queue, await now(queue) - 1), "one that is due leaves it as it is"
    assert (await queue.metrics()).delayed == 1


async def test_a_run_that_is_taken_back_may_come_again(queue: Queue) -> None:
    run = await now(queue) + HOUR
    assert not await queue.scripts.take_back_run("uid", False)
    await add(queue, run)
    assert await queue.scripts.take_back_run("uid", False)
    assert ((await queue.metrics()).delayed, await told(queue)) == (0, {"name": "digest", "decided": "0", "job": "d"})
    assert await add(queue, run)
    assert await queue.scripts.take_back_run("uid", True)
    assert await told(queue) == {}
    assert not await queue.redis.exists(queue.keys.job(f"uid-{run}"))


async def test_a_run_that_is_due_is_not_taken_back(queue: Queue, until: Any) -> None:
    run = await now(queue) + 50
    await add(queue, run)

    async def due() -> bool:
        return await now(queue) > run

    await until(due)
    assert not await queue.scripts.take_back_run("uid", False)
    assert await queue.job_state(f"uid-{run}") == "delayed"
    assert not await add(queue, run)


async def _let_run(queue: Queue, job_id: str) -> None:
    await queue.promote(job_id)


async def _run_and_remove(queue: Queue, job_id: str) -> None:
    await _let_run(queue, job_id)
    await queue.remove(job_id)


async def _delete(queue: Queue, job_id: str) -> None:
    await queue.remove(job_id)


@pytest.mark.parametrize("leave", [_let_run, _run_and_remove, _delete])
async def test_a_run_that_left_before_its_time_is_not_added_again(queue: Queue, leave: Any) -> None:
    run = await now(queue) + HOUR
    await add(queue, run)
    await leave(queue, f"uid-{run}")
    there = await queue.job_state(f"uid-{run}")
    assert not await add(queue, run)
    assert not await add(queue, run, digest="e"), "nor with other data"
    assert not await queue.scripts.take_back_run("uid", False)
    assert not await add(queue, run), "nor after it was suspended"
    assert await queue.job_state(f"uid-{run}") == there
    assert await add(queue, run - 1), "but all others are"
    assert not await add(queue, run)
    assert await add(queue, run + 1)
    assert (await queue.metrics()).delayed == 1
    assert await told(queue) == {
        "name": "digest", "decided": "0", "begun": str(run), "ahead": str(run + 1), "job": "d",
    }  # fmt: skip


@pytest.mark.parametrize(
    "stored", ["", "no JSON", "[]", '{"decided": "x", "ahead": []}', '{"ahead": 1e999, "begun": {}}']
)
async def test_what_is_none_of_ours_says_nothing(queue: Queue, stored: str) -> None:
    await queue.redis.hset(queue.keys.extra("runs"), "uid", stored)
    assert await add(queue, await now(queue) + HOUR)
    assert await queue.scripts.take_back_run("uid", True)


async def test_a_key_of_another_type_is_told_before_anything_is_added(queue: Queue) -> None:
    await queue.redis.set(queue.keys.extra("runs"), "", ex=60)
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await add(queue, 1)
    assert not await queue.redis.exists(queue.keys.wait)
