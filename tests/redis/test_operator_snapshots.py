"""What the operator reads of its queues."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import pytest
from crewline import Job, Queue, Reject, Worker
from crewline.redis.scripts import Result
from crewline_operator.model.demand import AHEAD_MS
from crewline_operator.model.key import Key
from crewline_operator.redis.counts import RUNNING_MAX
from crewline_operator.redis.ended import LATE_MS
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.poller import Poller
from crewline_operator.redis.reading import Snapshot, Target
from crewline_operator.redis.snapshot import read_snapshots
from crewline_operator.scaling.rates import Rates, observe
from crewline_operator.scaling.spec import Behavior
from redis.asyncio import Redis

from tests.redis.polling import EMAILS, redis, snapshot, until

__all__ = ["redis"]

StartWorker = Callable[..., Awaitable[Worker]]


async def test_a_queue_that_nobody_used_yet_is_empty(redis: Redis) -> None:
    seen = await snapshot(redis)
    assert (seen.waiting, seen.active, seen.delayed, seen.due, seen.dead, seen.paused) == (0, 0, 0, 0, 0, False)
    assert (seen.next_due_ms, seen.oldest_waiting_ms, seen.running) == (None, None, ())


async def test_jobs_are_counted_by_state_and_the_oldest_waiting_one_is_found(queue: Queue, redis: Redis) -> None:
    first = await queue.add("a", {})
    await queue.add_bulk([("b", {}), ("c", {}, {"priority": 5}), ("d", {}, {"delay": 3600})])
    seen = await snapshot(redis)
    assert (seen.waiting, seen.delayed, seen.due) == (3, 1, 0)
    timestamp = await redis.hget(queue.keys.job(first.id), "timestamp")
    assert seen.oldest_waiting_ms == int(timestamp or 0)
    assert seen.next_due_ms is not None
    assert 3_590_000 < seen.next_due_ms - seen.now_ms <= 3_600_000


async def test_what_waits_for_a_larger_worker_is_counted_and_is_no_demand(queue: Queue, redis: Redis) -> None:
    larger = replace(EMAILS, larger=True)

    async def read() -> Snapshot:
        seen = (await read_snapshots(redis, [larger, EMAILS]))[larger]
        assert isinstance(seen, Snapshot)
        return seen

    none = await read()
    assert (none.larger, none.wants_larger) == (0, False)
    job = await queue.add("n", 1)
    asked: dict[str, Any] = {"letters": "", "token": "t", "lease_ms": 60_000, "worker": "w"}
    await queue.scripts.finish_and_fetch([], room=1, **asked)
    died = Result(job.id, "t", "back", "", larger="OOMKilled", outgrown=True)
    await queue.scripts.finish_and_fetch([died], room=0, **asked)
    seen = await read()
    assert (seen.larger, seen.wants_larger, seen.demand.total, seen.delayed) == (1, True, 0, 1)
    assert seen.moved_since(replace(none, delayed=1)) and not replace(seen, paused=True).wants_larger
    # tried again in a while
    await redis.zadd(queue.keys.extra("larger"), {job.id: seen.now_ms + 60_000})
    later = await read()
    assert (later.larger, later.wants_larger) == (1, False)
    assert later.changes_in_seconds is not None and 50 < later.changes_in_seconds < 60
    # any client may have written it
    await redis.zadd(queue.keys.extra("larger"), {job.id: "inf"})
    never = await read()
    assert (never.larger, never.larger_from_ms, never.wants_larger) == (1, None, False)


async def test_where_jobs_may_run_in_a_larger_worker_each_read_tells_where_they_run(queue: Queue, redis: Redis) -> None:
    larger = replace(EMAILS, larger=True)
    await queue.add_bulk([("n", n) for n in range(2)])
    asked: dict[str, Any] = {"letters": "", "lease_ms": 60_000}
    await queue.scripts.finish_and_fetch([], room=1, worker="small", token="t", **asked)
    earlier = await read_snapshots(redis, [larger, EMAILS])
    await queue.scripts.finish_and_fetch([], room=1, worker="big", token="u", **asked)
    known = {target: seen for target, seen in earlier.items() if isinstance(seen, Snapshot)}
    for target, workers in ((larger, ["small", "big"]), (EMAILS, ["small"])):
        seen = (await read_snapshots(redis, [target], (), known))[target]
        assert isinstance(seen, Snapshot) and [run.worker for run in seen.running] == workers


MEASURED = replace(EMAILS, measured=True)


@pytest.mark.parametrize("kept", [3, 100], ids=["kept for too short", "kept"])
async def test_what_ends_is_counted_where_it_is_kept_and_what_never_ran_is_not(
    kept: int, queue: Queue, redis: Redis
) -> None:
    async def read(earlier: Snapshot | None = None) -> Snapshot:
        known = {MEASURED: earlier} if earlier is not None else {}
        seen = (await read_snapshots(redis, [MEASURED], (), known))[MEASURED]
        assert isinstance(seen, Snapshot)
        return seen

    async def end(state: str, number: int, at_ms: int) -> None:
        await redis.zadd(queue.keys.completed if state == "completed" else queue.keys.failed, {f"{number}": at_ms})
        await redis.zremrangebyrank(queue.keys.completed, 0, -kept - 1)

    first = await read()
    assert first.ended is None, "there is no read to count from"
    for number in range(5):
        await end("completed", number, first.now_ms - 10_000 + number)
    for number in range(5, 10):
        await end("completed", number, first.now_ms - LATE_MS + 1)
    await end("failed", 10, first.now_ms - LATE_MS + 1)
    await queue.add("twice", {}, job_id="twice")
    await queue.add("twice", {}, job_id="twice")
    second = await read(replace(first, now_ms=first.now_ms - 1))
    third = await read(second)
    assert second.ended == (None if kept == 3 else 6)
    assert third.ended == (0 if kept == 3 else 6), "each is counted once"
    # Nobody made these jobs.
    await redis.delete(queue.keys.completed, queue.keys.failed)


async def test_a_poller_counts_what_ends_from_read_to_read(queue: Queue, redis: Redis, redis_url: str) -> None:
    key = Key("JobQueue", "shop", "emails")
    poller = Poller(Endpoint(redis_url, "shown"), lambda _: None, 1.0)
    poller.watch(key, MEASURED)

    async def ended() -> int | None:
        await poller.poll_once()
        seen = poller.reading(key).snapshot
        return seen.ended if seen is not None else None

    await redis.zadd(queue.keys.completed, {"1": 1})
    assert await ended() is None
    assert await ended() == 0
    last = poller.reading(key).snapshot
    assert last is not None
    await redis.zadd(queue.keys.completed, {"2": last.now_ms - LATE_MS + 1})
    await until(ended, lambda count: count == 1)
    assert await ended() == 1
    await poller.stop()
    await redis.delete(queue.keys.completed)


async def test_what_ends_is_read_for_targets_that_measure_alone(queue: Queue, redis: Redis) -> None:
    first = await snapshot(redis)
    await redis.zadd(queue.keys.completed, {"1": 1, "2": first.now_ms})
    assert (await read_snapshots(redis, [EMAILS], (), {EMAILS: first}))[EMAILS].ended is None
    await redis.delete(queue.keys.completed)


async def test_a_job_waits_from_when_it_could_first_run(queue: Queue, redis: Redis) -> None:
    async def oldest(job: Job, **fields: Any) -> int:
        """Since when the job, which waits alone, is said to wait: milliseconds after it was added."""
        if fields:
            await redis.hset(queue.keys.job(job.id), mapping=fields)
        seen = await until(lambda: snapshot(redis), lambda seen: seen.oldest_waiting_ms is not None)
        timestamp = int(await redis.hget(queue.keys.job(job.id), "timestamp") or 0)
        assert await queue.remove(job.id)
        return int(seen.oldest_waiting_ms) - timestamp

    assert await oldest(await queue.add("due", {}, delay=0.02)) == 20, "nobody has moved it to those that wait"
    job = await queue.add("moved", {}, delay=0.02)
    await until(lambda: snapshot(redis), lambda seen: seen.oldest_waiting_ms is not None)
    await queue.promote_all()
    assert await oldest(job) == 20
    moment = datetime.now(UTC) + timedelta(milliseconds=200)
    job = await queue.add("for a moment", {}, delay=moment)
    await until(lambda: snapshot(redis), lambda seen: seen.oldest_waiting_ms is not None)
    added = int(await redis.hget(queue.keys.job(job.id), "timestamp") or 0)
    await queue.promote_all()
    assert await oldest(job) + added == round(moment.timestamp() * 1000)
    job = await queue.add("by hand", {}, delay=3600)
    await queue.promote_all()
    assert await oldest(job) == 0, "it was not moved when its time came"
    job = await queue.add("again", {})
    assert await oldest(job, timestamp=1_700_000_000_000, processedOn=1_700_000_000_005) == 5
    for broken in ("no JSON", "[1]", '{"delay": "soon"}', '{"delay": -5}', '{"delay": true}', '{"delay": 1e999}'):
        assert await oldest(await queue.add("broken", {}), opts=broken) == 0


@pytest.mark.parametrize(("score", "due"), [("inf", 0), ("1.797e308", 0), ("-inf", 1), ("-5", 1)])
async def test_a_delay_without_end_is_no_fault_of_any_queue(queue: Queue, redis: Redis, score: str, due: int) -> None:
    """A BullMQ client takes any number for a delay."""
    job = await queue.add("n", {}, delay=60)
    await redis.zadd(queue.keys.delayed, {job.id: score})
    seen = await snapshot(redis)
    assert (seen.delayed, seen.due) == (1, due)
    assert (seen.next_due_ms is None) == (due == 0)


async def test_what_arrives_and_what_leaves_is_told_by_what_is_read(
    queue: Queue, redis: Redis, start_worker: StartWorker
) -> None:
    async def handle(job: Job) -> None:
        if job.name == "bad":
            raise Reject("no")

    before = (await snapshot(redis)).demand
    await queue.add_bulk([("good", {}) for _ in range(8)] + [("bad", {}), ("later", {}, {"delay": 3600})])
    added = (await snapshot(redis)).demand
    await start_worker(handle)
    after = (await until(lambda: snapshot(redis), lambda seen: seen.completed + seen.failed == 9)).demand
    reads = [before, added, after]
    moments = [replace(read, read_ms=1000 * second) for second, read in enumerate(reads, start=1)]
    rates = reduce(lambda rates, read: observe(rates, read, Behavior()), moments, Rates())
    assert rates.arrivals(6) == pytest.approx(9 / 6), "but for the one whose time has not come"
    assert rates.ended == 9


async def test_a_delayed_job_counts_as_due_once_a_worker_that_is_asked_for_would_find_it_so(
    queue: Queue, redis: Redis
) -> None:
    await queue.add("later", {}, delay=3600)
    assert 3590 < (await snapshot(redis)).changes_in_seconds <= 3598  # type: ignore[operator]
    await queue.add("soon", {}, delay=AHEAD_MS / 1000 + 0.3)
    early = await snapshot(redis)
    assert (early.due, early.demand.total) == (0, 0)
    assert early.changes_in_seconds is not None and 0 < early.changes_in_seconds <= 0.3
    seen = await until(lambda: snapshot(redis), lambda seen: seen.due == 1)
    assert (seen.delayed, seen.demand.total) == (2, 1)
    assert seen.next_due_ms > seen.now_ms, "before it is due"


async def test_a_paused_queue_is_known_as_paused_and_its_jobs_as_waiting(queue: Queue, redis: Redis) -> None:
    await queue.add("a", {})
    await queue.pause()
    # BullMQ 5 moves a paused queue's jobs there.
    await redis.rename(queue.keys.wait, queue.keys.paused)
    seen = await snapshot(redis)
    assert (seen.paused, seen.waiting, seen.demand.total) == (True, 1, 0)


async def test_running_jobs_are_shown_with_worker_and_progress(
    queue: Queue, redis: Redis, start_worker: StartWorker
) -> None:
    release = asyncio.Event()

    async def handle(job: Job) -> None:
        await job.progress({"done": 3, "of": 10})
        await release.wait()

    await start_worker(handle, concurrency=30, name="worker-1")
    await queue.add_bulk([("welcome", {})] * 25)
    seen = await until(
        lambda: snapshot(redis),
        lambda seen: [run.progress for run in seen.running] == [{"done": 3, "of": 10}] * RUNNING_MAX,
    )
    assert seen.active == 25
    assert {(run.name, run.worker) for run in seen.running} == {("welcome", "worker-1")}
    assert [int(run.id) for run in seen.running] == list(range(1, RUNNING_MAX + 1)), "those that have run longest"
    assert all(run.started_ms and 0 <= seen.now_ms - run.started_ms < 60_000 for run in seen.running)
    release.set()
    await until(lambda: snapshot(redis), lambda seen: seen.completed == 25)


async def test_a_job_that_comes_and_goes_between_two_looks_has_happened(
    queue: Queue, redis: Redis, start_worker: StartWorker
) -> None:
    async def handle(_: Job) -> None:
        pass

    await start_worker(handle)
    marks = [(await snapshot(redis)).mark]
    for delay in (0, 0, 0.01):
        job = await queue.add("short", {}, delay=delay, remove_on_complete=True)
        await job.result(timeout=10)
        await until(lambda: snapshot(redis), lambda seen: seen.demand.total == 0)
        marks.append((await snapshot(redis)).mark)
    assert len(set(marks)) == 4
    assert (await snapshot(redis)).mark == marks[-1], "and nothing has happened since"


async def test_a_job_that_was_there_before_and_runs_between_two_looks_has_happened(queue: Queue, redis: Redis) -> None:
    job = await queue.add("later", {}, delay=3600)
    before = await snapshot(redis)
    await queue.promote_all()
    await redis.rpoplpush(queue.keys.wait, queue.keys.active)
    await redis.lpop(queue.keys.active)
    await redis.delete(queue.keys.job(job.id))
    after = await snapshot(redis)
    assert (before.demand.total, after.demand.total) == (0, 0)
    assert before.mark != after.mark, "though no job was added"


async def test_dead_letters_are_counted(queue: Queue, redis: Redis, start_worker: StartWorker) -> None:
    async def handle(_: Job) -> None:
        raise Reject("bad address")

    await start_worker(handle)
    await queue.add("welcome", {})
    seen = await until(lambda: snapshot(redis), lambda seen: seen.dead == 1)
    assert seen.failed == 1
    nowhere = replace(EMAILS, dead_letter_queue="")
    both = await read_snapshots(redis, [nowhere, EMAILS])
    assert [both[target].dead for target in (nowhere, EMAILS)] == [0, 1], "where they are disabled none are counted"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"50", 50),
        (b'{"done": NaN}', {"done": "NaN"}),
        (b"1e999", "1e999"),
        (b"{broken", "{broken"),
        (b"\xff\xfe", "��"),
        (b'"' + b"x" * 600 + b'"', "(progress too large to show: 602 bytes)"),
    ],
)
async def test_progress_that_any_client_may_have_written_is_fit_for_a_status(
    queue: Queue, redis: Redis, written: bytes, shown: Any
) -> None:
    job = await queue.add("a", {})
    await redis.rpoplpush(queue.keys.wait, queue.keys.active)
    await redis.hset(queue.keys.job(job.id), mapping={"progress": written, "processedOn": b"soon"})
    (run,) = (await snapshot(redis)).running
    assert (run.progress, run.started_ms) == (shown, None)


async def test_many_queues_are_read_together(redis: Redis, redis_url: str) -> None:
    targets = [Target("bull", f"q{number}", f"q{number}-dlq") for number in range(600)]
    async with Queue("q599", redis=redis_url) as last:
        await last.add("a", {})
    seen = await read_snapshots(redis, targets)
    assert [seen[target].waiting for target in targets] == [0] * 599 + [1]


async def test_jobs_that_are_no_jobs_are_shown_as_far_as_they_can_be_read(redis: Redis, queue: Queue) -> None:
    for state, job_id in ((queue.keys.wait, "x"), (queue.keys.active, "y")):
        await redis.lpush(state, job_id)
        await redis.set(queue.keys.job(job_id), "no hash")
    seen = await snapshot(redis)
    assert (seen.waiting, seen.active, seen.oldest_waiting_ms) == (1, 1, None)
    assert [(run.id, run.name, run.started_ms) for run in seen.running] == [("y", "", None)]
    await redis.delete(queue.keys.wait, queue.keys.active, queue.keys.job("x"), queue.keys.job("y"))
