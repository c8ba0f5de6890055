"""What happens when workers, connections or Redis itself fail."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from crewline import DeadLetters, Job, JobFailed, LeaseLost, Queue, Worker
from crewline.redis.connection import UNAVAILABLE

from tests import redis_server as server_module
from tests.chaos.proxy import Proxy
from tests.redis_server import RedisServer


async def _abandon(queue: Queue, redis_url: str) -> Job:
    """A job that a worker took and never ended: the lease is there, nobody renews it."""
    job = await queue.add("n", {"k": 1})
    fetched = await queue.scripts.finish_and_fetch(
        [], letters="", token="dead-worker:1", lease_ms=300, worker="dead", room=1
    )
    assert [each.id for each in fetched.jobs] == [job.id]
    return job


async def test_a_job_whose_worker_died_is_run_by_another(queue: Queue, redis_url: str, start_worker: Any) -> None:
    job = await _abandon(queue, redis_url)

    async def handle(job: Job) -> dict[str, int]:
        return {"attempts_made": job.attempts_made, "started": job.attempts_started, "stalled": job.stalled_count}

    await start_worker(handle, lease_seconds=0.5)
    assert await job.result(timeout=10) == {"attempts_made": 0, "started": 2, "stalled": 1}


async def test_a_suspect_runs_alone_and_its_neighbours_go_on_afterwards(
    queue: Queue, redis_url: str, start_worker: Any
) -> None:
    at_once: set[str] = set()
    beside: dict[str, set[str]] = {}
    suspects = [await _abandon(queue, redis_url) for _ in range(2)]
    others = await queue.add_bulk(("n", {"k": i}) for i in range(6))

    async def handle(job: Job) -> None:
        at_once.add(job.id)
        await asyncio.sleep(0.05)
        beside[job.id] = at_once - {job.id}
        at_once.discard(job.id)

    await start_worker(handle, lease_seconds=0.5)
    for job in (*suspects, *others):
        await job.result(timeout=10)
    assert [beside[job.id] for job in suspects] == [set(), set()]
    assert any(beside[job.id] for job in others)
    assert await queue.redis.hmget(queue.keys.job(suspects[0].id), "suspect", "alone") == [None, None]


async def test_only_deaths_while_alone_count_and_too_many_fail_the_job(
    queue: Queue, redis_url: str, start_worker: Any, until: Any
) -> None:
    job = await _abandon(queue, redis_url)
    for _ in range(2):  # two workers die under it while nothing runs beside it
        await until(lambda: _put_back(queue, most=2))
        fetched = await queue.scripts.finish_and_fetch(
            [], letters="", token="dead-worker:2", lease_ms=100, worker="dead", room=1
        )
        assert fetched.jobs
        assert await queue.scripts.mark_alone(job.id, "dead-worker:2") == 0
    await until(lambda: _put_back(queue, most=2))
    runs: list[str] = []

    async def handle(job: Job) -> None:
        runs.append(job.id)

    await start_worker(handle)
    with pytest.raises(JobFailed, match="took its worker down 2 times"):
        await job.result(timeout=10)
    assert runs == []
    (letter,) = await DeadLetters(queue).list()
    assert letter.reason == "job took its worker down 2 times"


async def _put_back(queue: Queue, most: int) -> list[str]:
    found = await queue.scripts.recover_stalled(1, most, lease_ms=100, once=True)
    return found.back + found.doomed


async def test_a_handler_that_blocks_the_event_loop_keeps_its_job(queue: Queue, start_worker: Any) -> None:
    async def block(job: Job) -> int:
        time.sleep(1.5)  # noqa: ASYNC251
        return job.attempts_started

    await start_worker(block, lease_seconds=0.5)
    job = await queue.add("n", None)
    # the checks of another worker find the lease renewed
    other = Queue("emails", redis=queue.url)
    deadline = time.monotonic() + 1.2
    while time.monotonic() < deadline:
        await other.scripts.recover_stalled(1, 1, lease_ms=500, once=True)
        await asyncio.sleep(0.1)
    assert await job.result(timeout=5) == 1
    await other.close()


async def test_a_worker_that_lost_its_lease_is_fenced_off(queue: Queue, start_worker: Any, until: Any) -> None:
    refused: list[str] = []
    cancelled = asyncio.Event()
    started = asyncio.Event()

    async def handle(job: Job) -> None:
        started.set()
        try:
            await asyncio.sleep(0.3)
            await job.progress(50)
        except LeaseLost as error:
            refused.append(str(error))
            raise
        except asyncio.CancelledError:
            cancelled.set()
            raise

    await start_worker(handle, lease_seconds=0.5)
    job = await queue.add("n", None)
    await asyncio.wait_for(started.wait(), 5)
    await queue.redis.set(queue.keys.job(job.id) + ":lock", "another-worker", px=5000)
    await until(lambda: refused or cancelled.is_set())
    await asyncio.sleep(0.1)
    assert await queue.redis.get(queue.keys.job(job.id) + ":lock") == b"another-worker"
    assert await job.state() == "active"
    stored = await queue.get_job(job.id)
    assert stored is not None and stored.progress_value == 0 and stored.return_value is None


async def test_a_stopped_worker_lets_jobs_end_and_hands_back_the_rest_without_using_an_attempt(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    started: list[str] = []

    async def handle(job: Job) -> str:
        started.append(job.name)
        await asyncio.sleep(0.3 if job.name == "short" else 60)
        return "ended"

    worker: Worker = await start_worker(handle)
    short = await queue.add("short", None)
    long_one = await queue.add("long", None, attempts=1)
    next_one = await queue.add("waiting", None, delay=60)
    await until(lambda: len(started) == 2)
    await worker.stop(grace_seconds=1)
    await until(lambda: worker.running == 0)
    assert await short.result(timeout=5) == "ended"
    await until(lambda: _state_is(long_one, "waiting"))
    stored = await queue.get_job(long_one.id)
    assert stored is not None and stored.attempts_made == 0
    assert await queue.redis.exists(queue.keys.job(long_one.id) + ":lock") == 0
    assert await next_one.state() == "delayed"

    async def finish(job: Job) -> str:
        return "by another"

    await start_worker(finish)
    assert await long_one.result(timeout=5) == "by another"


async def _state_is(job: Job, state: str) -> bool:
    return await job.state() == state


async def test_pausing_stops_all_workers_and_resuming_wakes_them(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> str:
        return "ran"

    await queue.pause()
    await start_worker(handle)
    job = await queue.add("n", None)
    with pytest.raises(TimeoutError):
        await job.result(timeout=0.5)
    assert (await queue.metrics()).paused
    before = time.monotonic()
    await queue.resume()
    assert await job.result(timeout=5) == "ran"
    assert time.monotonic() - before < 2


async def test_resume_merges_what_bullmq_5_parked_and_loses_none(queue: Queue, start_worker: Any, until: Any) -> None:
    await queue.add_bulk(("parked", i) for i in range(3))
    await queue.redis.rename(queue.keys.wait, queue.keys.paused)
    await queue.redis.hset(queue.keys.meta, "paused", "1")
    await queue.add("later", 3)
    seen: list[int] = []

    async def handle(job: Job) -> None:
        seen.append(job.data)

    await queue.resume()
    await start_worker(handle, concurrency=1)
    await until(lambda: len(seen) == 4)
    assert seen == [0, 1, 2, 3]


async def test_a_queue_that_is_resumed_at_its_limit_tells_of_what_is_due_next(queue: Queue) -> None:
    await queue.add_bulk([("runs", {}), ("waits", {}), ("later", {}, {"delay": 60})])
    fetched = await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=1)
    assert len(fetched.jobs) == 1
    await queue.set_global_concurrency(1)
    await queue.pause()
    # whoever waited has taken it
    await queue.redis.delete(queue.keys.marker)
    await queue.resume()
    assert await queue.redis.zscore(queue.keys.marker, "1")


async def test_unreadable_jobs_of_foreign_clients_fail_with_a_reason_and_hold_up_nobody(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    wrong = {"nan": b'{"v": NaN}', "cut": b'{"v": ', "bytes": b"\xff\xfe", "bad-opts": b"1"}
    for job_id, data in wrong.items():
        await queue.redis.hset(
            queue.keys.job(job_id),
            mapping={
                "name": b"n\xff",
                "data": data,
                "opts": b"{oops" if job_id == "bad-opts" else b"{}",
                "atm": b"x",
            },
        )
        await queue.redis.lpush(queue.keys.wait, job_id)
    await queue.redis.lpush(queue.keys.wait, "no-hash-at-all")
    good = await queue.add("good", 1)

    async def handle(job: Job) -> str:
        return "ok"

    await start_worker(handle)
    assert await good.result(timeout=5) == "ok"
    await until(lambda: _active_is(queue, 0))
    assert await queue.job_state("bad-opts") == "completed"
    for job_id in ("nan", "cut", "bytes"):
        assert await queue.job_state(job_id) == "failed"
        reason = await queue.redis.hget(queue.keys.job(job_id), "failedReason")
        assert b"data can't be read" in reason
    letters = await DeadLetters(queue).list()
    assert {letter.job_id for letter in letters} == {"nan", "cut", "bytes"}


async def _active_is(queue: Queue, count: int) -> bool:
    return (await queue.metrics()).active == count


async def test_a_worker_goes_on_after_redis_was_restarted(tmp_path: Path, until: Any) -> None:
    options = ("--appendonly", "yes", "--appendfsync", "always")
    server = server_module.start(tmp_path, *options)
    done: list[int] = []

    async def handle(job: Job) -> None:
        await asyncio.sleep(0.01)
        done.append(job.data)

    async with Queue("emails", redis=server.url) as queue:
        worker = Worker("emails", handle, redis=server.url, concurrency=5, lease_seconds=1)
        running = asyncio.create_task(worker.run())
        try:
            await queue.add_bulk(("n", i) for i in range(300))
            await until(lambda: len(done) > 50)
            server.stop()
            server = server_module.start(tmp_path, *options, port=server.port)
            await until(lambda: set(done) == set(range(300)), 30)
            await until(lambda: _all_completed(queue, 300), 30)
        finally:
            await worker.stop(grace_seconds=1)
            await asyncio.wait_for(running, 10)
            server.stop()


async def _all_completed(queue: Queue, count: int) -> bool:
    try:
        counts = await queue.metrics()
    except UNAVAILABLE:
        return False
    return counts.completed == count and counts.active == 0


async def test_limits_set_by_other_clients_are_kept(queue: Queue, start_worker: Any, until: Any) -> None:
    at_once = 0
    most = 0

    async def handle(job: Job) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.02)
        at_once -= 1

    await queue.redis.hset(queue.keys.meta, "concurrency", 2)
    await queue.add_bulk(("n", i) for i in range(20))
    for _ in range(2):
        await start_worker(handle)
    await until(lambda: _all_completed(queue, 20))
    assert most <= 2


async def test_a_rate_limit_set_by_other_clients_is_kept(queue: Queue, start_worker: Any, until: Any) -> None:
    times: list[float] = []

    async def handle(job: Job) -> None:
        times.append(time.monotonic())

    await queue.redis.hset(queue.keys.meta, mapping={"max": 5, "duration": 500})
    await queue.add_bulk(("n", i) for i in range(15))
    await start_worker(handle)
    await until(lambda: len(times) == 15)
    assert times[-1] - times[0] >= 0.9


async def test_links_that_die_in_silence_are_replaced_while_the_leases_hold(
    queue: Queue, redis_server: RedisServer, until: Any
) -> None:
    handled: list[str] = []

    async def handle(job: Job) -> None:
        handled.append(job.id)
        await asyncio.sleep(0.05)

    async with Proxy(redis_server.port) as proxy:
        worker = Worker("emails", handle, redis=proxy.url, concurrency=4, lease_seconds=6)
        running = asyncio.create_task(worker.run())
        await worker.wait_ready()
        await until(lambda: worker._watch.armed)
        # one that waits for the marker, ...
        assert proxy.black_hole() > 1
        swallowed = await queue.add("n", 0)
        await swallowed.result(timeout=5.5)
        # ... and those under way
        jobs = await queue.add_bulk(("n", i) for i in range(60))
        await until(lambda: len(handled) > 10)
        proxy.black_hole()
        await until(lambda: _all_completed(queue, 61), seconds=8)
        # a lease that ran out would have been another attempt
        ended = [await queue.get_job(job.id) for job in (swallowed, *jobs)]
        assert [(job.attempts_started, job.stalled_count) for job in ended if job] == [(1, 0)] * 61
        assert len(handled) == 61
        await worker.stop()
        await asyncio.wait_for(running, 10)
