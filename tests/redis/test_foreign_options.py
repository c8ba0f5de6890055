"""Ids and options that other clients choose: no worker stumbles over them, and each job ends once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from crewline import InvalidOption, Job, Queue
from crewline.wire.options import MAX_ID_CHARS

#: More than a double counts: what a client writes that means "all".
ALL = 10**18


async def add(queue: Queue, job_id: str, **opts: Any) -> Job:
    """A job as another client's script leaves it."""
    told = {"name": "n", "data": "{}", "opts": json.dumps(opts), "timestamp": 1, "delay": 0, "priority": 0}
    await queue.redis.hset(queue.keys.job(job_id), mapping=told)
    await queue.redis.lpush(queue.keys.base + "wait", job_id)
    await queue.redis.zadd(queue.keys.base + "marker", {"0": 0})
    job = await queue.get_job(job_id)
    assert job
    return job


@pytest.mark.parametrize("keep", [ALL, {"count": ALL}, {"age": 60, "count": ALL}])
@pytest.mark.parametrize("state", ["completed", "failed"])
async def test_a_retention_of_more_than_can_be_counted_keeps_the_job(
    queue: Queue, start_worker: Any, until: Any, keep: Any, state: str
) -> None:
    runs = 0

    async def handle(job: Job) -> None:
        nonlocal runs
        runs += 1
        if state == "failed":
            raise ValueError("no")

    job = await add(queue, "a", attempts=1, removeOnComplete=keep, removeOnFail=keep)
    await start_worker(handle)

    async def ended() -> bool:
        return await job.state() == state

    await until(ended)
    assert runs == 1


async def test_a_job_ends_whose_run_the_worker_itself_makes_fail(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*_: Any) -> str:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("crewline.worker.runs.verdicts.keep_from_wire", wrong)

    async def handle(job: Job) -> None:
        pass

    job = await queue.add("n", 1, attempts=1)
    await start_worker(handle)

    async def failed() -> bool:
        return await job.state() == "failed"

    await until(failed)
    after = await queue.get_job(job.id)
    assert after and after.failed_reason == "RuntimeError: a bug of ours"


async def test_ids_of_any_length_end_no_worker(queue: Queue, start_worker: Any, until: Any) -> None:
    jobs = [await add(queue, f"{number}-" + "k" * 400_000) for number in range(3)] + [await add(queue, "short")]
    ended = 0

    async def handle(job: Job) -> None:
        nonlocal ended
        # until a beat has told of it
        await until(lambda: told)
        ended += 1

    told: list[Any] = []
    await start_worker(handle)

    async def is_told() -> bool:
        told[:] = [each for each in await queue.workers() if each["busy"] == len(jobs)]
        return bool(told)

    await until(is_told)
    assert told[0]["running"] == ["short"]
    await until(lambda: ended == len(jobs))


async def test_an_id_of_our_own_has_a_bound(queue: Queue) -> None:
    await queue.add("n", 1, job_id="k" * MAX_ID_CHARS)
    with pytest.raises(InvalidOption, match=r"job_id 'kkk.*'\.\.\. has 1,001 characters: at most 1,000"):
        await queue.add("n", 1, job_id="k" * (MAX_ID_CHARS + 1))
