"""Jobs that have only what each job has are told of and settled in fewer words: nothing may be missed by that."""

from __future__ import annotations

import pytest
from crewline import FlowJob, Job, Queue
from crewline.redis.scripts import Fetched, Result
from crewline.redis.scripts.values import PLAIN

from tests.redis.conftest import StartWorker


async def _fetch(queue: Queue) -> Fetched:
    return await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=1)


async def test_a_job_is_told_of_as_it_is_in_redis(queue: Queue) -> None:
    job = await queue.add("n", {"a": 1}, priority=3)
    fetched = await _fetch(queue)
    (told,) = fetched.jobs
    stored = await queue.redis.hgetall(queue.keys.job(job.id))
    assert told.id == job.id
    assert stored.pop(b"pb") == b"w"
    assert told.fields == stored
    assert int(told.fields[b"processedOn"]) == fetched.now_ms


@pytest.mark.parametrize("missing", [name.decode() for name in PLAIN if name != b"name"])
async def test_a_foreign_job_with_as_many_other_fields_is_told_of_whole(queue: Queue, missing: str) -> None:
    job = await queue.add("n", 1)
    await queue.redis.hdel(queue.keys.job(job.id), missing)
    await queue.redis.hset(queue.keys.job(job.id), "defa", "not to be run")
    (told,) = (await _fetch(queue)).jobs
    assert told.fields[b"defa"] == b"not to be run"
    assert missing.encode() not in told.fields


async def test_a_parent_that_a_job_is_given_while_it_runs_is_released(queue: Queue) -> None:
    await queue.add("n", 1, job_id="child")
    await _fetch(queue)
    flow = await queue.add_flow(FlowJob("root", children=[FlowJob("n", 1, options={"job_id": "child"})]))
    assert await queue.job_state(flow.job.id) == "waiting-children"
    done = Result("child", "t", "completed", "7", plain=True)
    assert (
        await queue.scripts.finish_and_fetch([done], letters="", token="t", lease_ms=60_000, worker="w", room=0)
    ).codes == [0]
    assert await queue.job_state(flow.job.id) == "waiting"


async def test_an_attempt_and_a_deduplication_id_are_counted_and_freed_by_a_worker(
    queue: Queue, start_worker: StartWorker
) -> None:
    ran: list[int] = []

    async def handle(job: Job) -> None:
        ran.append(job.attempts_made)
        if len(ran) == 1:
            raise ValueError("once")

    await start_worker(handle)
    job = await queue.add("n", 1, dedup="only", attempts=2, backoff=0)
    await job.result(timeout=10)
    assert ran == [0, 1]
    assert await queue.redis.hmget(queue.keys.job(job.id), "atm", "ats", "unread") == [b"2", b"2", None]
    assert (await queue.add("n", 2, dedup="only")).id != job.id
