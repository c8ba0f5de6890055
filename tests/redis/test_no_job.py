"""What is no job any more, or not yet: ids without a hash, keys of another type, jobs that are planned."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from crewline import Dedup, InvalidOption, InvalidPayload, Job, Queue
from redis.exceptions import ResponseError


@pytest.mark.parametrize("all_at_once", [True, False])
async def test_a_failed_job_whose_parents_keys_are_broken_runs_again_with_the_others(
    queue: Queue, start_worker: Any, until: Any, all_at_once: bool
) -> None:
    fails = True

    async def handle(job: Job) -> str:
        if fails:
            raise ValueError("no")
        return "done"

    worker = await start_worker(handle)
    jobs = await queue.add_bulk(("n", number, {"attempts": 1}) for number in range(4))

    async def failed() -> bool:
        return bool(await queue.redis.zcard(queue.keys.failed) == 4)

    await until(failed)
    worker.pause()
    fails = False
    broken = jobs[1]
    await queue.redis.hset(queue.keys.job(broken.id), "parentKey", "bull:emails:p")
    await queue.redis.hset("bull:emails:p", "name", "p")
    await queue.redis.set("bull:emails:p:unsuccessful", "no set")
    await queue.redis.zadd(queue.keys.failed, {"gone": 1, "other": 2})
    await queue.redis.set(queue.keys.job("other"), "no hash")
    if all_at_once:
        await queue.retry_all()
    else:
        await queue.redis.zrem(queue.keys.failed, "gone", "other")
        for job in jobs:
            await job.retry()
    worker.resume()
    for job in jobs:
        assert await job.result(timeout=20) == "done"
    await queue.redis.delete("bull:emails:p", "bull:emails:p:unsuccessful", queue.keys.job("other"))


async def test_promoting_what_has_no_hash_makes_none(queue: Queue) -> None:
    await queue.redis.zadd(queue.keys.delayed, {"gone": 2**52})
    await queue.promote_all()
    assert not await queue.redis.exists(queue.keys.job("gone"))
    assert not await queue.redis.zcard(queue.keys.delayed)


async def test_a_throttle_holds_though_its_job_was_removed_at_its_end(queue: Queue, start_worker: Any) -> None:
    ran: list[int] = []

    async def handle(job: Job) -> None:
        ran.append(job.data)

    await start_worker(handle)
    first = await queue.add("n", 1, dedup=Dedup("d", ttl_seconds=60), remove_on_complete=True)
    await first.result(timeout=20)
    for _ in range(3):
        again = await queue.add("n", 2, dedup=Dedup("d", ttl_seconds=60), remove_on_complete=True)
        assert (again.id, again.added) == (first.id, False)
    assert ran == [1]


async def test_changed_options_of_a_schedule_take_effect(queue: Queue, start_worker: Any, until: Any) -> None:
    planned = await queue.schedule("s", "n", 1, every=3600, start=_in(3600), attempts=3)
    assert await queue.schedule("s", "n", 2, every=3600, start=_in(3600), attempts=7, priority=5) == planned
    job = await queue.get_job(planned)
    assert job and (job.attempts, job.data, job.priority) == (7, 2, 5)
    assert job.opts["repeatJobKey"] == "s" and job.opts["jobId"] == planned

    async def handle(job: Job) -> None: ...

    await queue.promote(planned)
    await start_worker(handle)
    await job.result(timeout=20)
    (following_id,) = await until(lambda: queue.redis.zrange(queue.keys.delayed, 0, -1))
    following = await queue.get_job(following_id.decode())
    assert following
    assert (following.attempts, following.priority) == (7, 5)
    # one that runs or waits already keeps its own; the one after it has what the schedule says then
    assert following.opts["repeat"]["count"] == 2


@pytest.mark.parametrize("wrong", [{"every": float("nan")}, {"every": float("inf")}, {"every": "1"}, {"every": 1e12}])
async def test_a_schedule_refuses_what_is_no_time(queue: Queue, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match=r"every .* must be a number of seconds"):
        await queue.schedule("s", "n", 1, **wrong)
    for limit in (0, 1.5, True, "3"):
        with pytest.raises(InvalidOption, match=r"limit .* must be an integer"):
            await queue.schedule("s", "n", 1, every=1, limit=limit)  # type: ignore[arg-type]
    with pytest.raises(InvalidOption, match="start '2026' has no time zone"):
        await queue.schedule("s", "n", 1, every=1, start="2026")  # type: ignore[arg-type]


async def test_the_largest_payload_is_so_for_schedules_and_changes_too(redis_url: str) -> None:
    async with Queue("emails", redis=redis_url, max_payload_bytes=100) as small:
        with pytest.raises(InvalidPayload):
            await small.schedule("s", "n", "x" * 200, every=1)
        job = await small.add("n", 1)
        with pytest.raises(InvalidPayload):
            await small.update_data(job.id, "x" * 200)


_NOW = datetime.datetime.now(datetime.UTC)


def _in(seconds: float) -> datetime.datetime:
    return _NOW + datetime.timedelta(seconds=seconds)


async def test_nothing_of_a_throttle_outlives_its_queue(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> None: ...

    worker = await start_worker(handle)
    throttle = Dedup("d", ttl_seconds=60)
    await (await queue.add("n", 1, dedup=throttle, remove_on_complete=True)).result(timeout=20)
    await worker.stop()
    await queue.pause()
    await queue.obliterate()
    assert await queue.redis.keys(f"{queue.keys.base}*") == []
    assert (await queue.add("n", 2, dedup=throttle)).added


async def test_following_what_can_never_be_read_says_so(queue: Queue) -> None:
    for after in ("no id", "1-", "-1", "²", "1-2-3", str(1 << 64), "$", "", 5):
        with pytest.raises(InvalidOption, match=r"event id .* is none: use one that an event had, or '0'"):
            await anext(queue.events(after))  # type: ignore[arg-type]
    await queue.redis.set(queue.keys.events, "no stream")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await anext(queue.events("0"))
    await queue.redis.delete(queue.keys.events)


async def test_cleaning_delayed_jobs_moves_the_time_that_workers_are_told(queue: Queue) -> None:
    await queue.add("n", 1, delay=60)
    await queue.add("n", 1, delay=600)
    before = await queue.redis.zscore(queue.keys.marker, "1")
    first = (await queue.redis.zrange(queue.keys.delayed, 0, 0))[0]
    await queue.redis.hset(queue.keys.job(first.decode()), "timestamp", "1")
    assert await queue.clean("delayed", older_than=60) == [first.decode()]
    assert await queue.redis.zscore(queue.keys.marker, "1") > before
