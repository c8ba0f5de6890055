"""A Redis that is full and evicts nothing: what ends work or frees memory goes on there, what adds is refused whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from crewline import Job, JobFailed, Keep, Queue, Worker
from crewline.redis.scripts import Result
from redis.exceptions import ResponseError

LEASE_MS = 60_000


@pytest_asyncio.fixture
async def full(queue: Queue) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Call it, and Redis is full until the test ends."""
    await queue.redis.config_set("maxmemory-policy", "noeviction")

    async def fill() -> None:
        await queue.redis.config_set("maxmemory", 1)

    yield fill
    await queue.redis.config_set("maxmemory", 0)


async def fetch(queue: Queue, room: int = 1) -> list[str]:
    fetched = await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=LEASE_MS, worker="w", room=room)
    return [job.id for job in fetched.jobs]


async def end(queue: Queue, *results: Result) -> list[int]:
    fetched = await queue.scripts.finish_and_fetch(
        results, letters="bull:emails-dlq:", token="t2", lease_ms=LEASE_MS, worker="w", room=1
    )
    return fetched.codes


async def begin(queue: Queue) -> Any:
    """One job runs, two wait, one is delayed, one has failed."""
    failed = await queue.add("n", 1)
    await fetch(queue)
    await end(queue, Result(failed.id, "t", "failed", "why"))
    jobs = await queue.add_bulk([("n", 1)] * 3 + [("n", 1, {"delay": 60})])
    running = await fetch(queue)
    assert running == [jobs[0].id]
    return [*jobs, failed]


async def state(jobs: list[Job]) -> None:
    assert [await job.state() for job in jobs] == ["active", "waiting", "waiting", "delayed", "failed"]


async def wait(jobs: list[Job]) -> None:
    with pytest.raises(JobFailed, match="why"):
        await jobs[4].result(timeout=20)


async def obliterate(queue: Queue, _: Any) -> None:
    await queue.pause()
    await queue.obliterate(force=True)
    assert await queue.redis.keys("*:emails:*") == []


CALLS: dict[str, Callable[[Queue, list[Job]], Awaitable[Any]]] = {
    "check_rights": lambda queue, jobs: queue.scripts.check_rights("none"),
    "fetch": lambda queue, jobs: fetch(queue),
    "complete": lambda queue, jobs: end(queue, Result(jobs[0].id, "t", "completed", "1")),
    "fail": lambda queue, jobs: end(queue, Result(jobs[0].id, "t", "failed", "why")),
    "retry": lambda queue, jobs: end(queue, Result(jobs[0].id, "t", "retry", "why", delay_ms=1000)),
    "hand back": lambda queue, jobs: end(queue, Result(jobs[0].id, "t", "back", "")),
    "extend_leases": lambda queue, jobs: queue.scripts.extend_leases(LEASE_MS, jobs[0].id, "t", "1:1"),
    "beat": lambda queue, jobs: queue.scripts.beat("w", "w", 60_000, "{}", "", [(jobs[0].id, "t")]),
    "recover_stalled": lambda queue, jobs: queue.scripts.recover_stalled(1, 3, lease_ms=LEASE_MS),
    "begin_sweep": lambda queue, jobs: queue.scripts.begin_sweep(1000),
    "sweep": lambda queue, jobs: queue.scripts.sweep_jobs("failed", Keep(count=0)),
    "pause": lambda queue, jobs: queue.pause(),
    "drain": lambda queue, jobs: queue.drain(delayed=True),
    "clean": lambda queue, jobs: queue.clean("failed"),
    "obliterate": obliterate,
    "limit": lambda queue, jobs: queue.set_global_concurrency(1),
    "cancel one that runs": lambda queue, jobs: jobs[0].cancel(),
    "cancel one that waits": lambda queue, jobs: jobs[1].cancel(),
    "cancel a delayed one": lambda queue, jobs: jobs[3].cancel(),
    "remove one that waits": lambda queue, jobs: jobs[1].remove(),
    "promote": lambda queue, jobs: jobs[3].promote(),
    "ask for a state": lambda queue, jobs: state(jobs),
    "wait for a result": lambda queue, jobs: wait(jobs),
    "retry a failed one": lambda queue, jobs: jobs[4].retry(),
}  # fmt: skip


@pytest.mark.parametrize("call", CALLS)
async def test_what_ends_work_or_frees_memory_goes_on(queue: Queue, full: Any, call: str) -> None:
    jobs = await begin(queue)
    await full()
    await CALLS[call](queue, jobs)


@pytest.mark.parametrize("options", [{}, {"delay": 60}, {"priority": 1}, {"dedup": "d"}])
async def test_a_job_is_added_wholly_or_not_at_all(queue: Queue, full: Any, options: dict[str, Any]) -> None:
    await begin(queue)
    before = sorted(await queue.redis.keys())
    await full()
    try:
        job = await queue.add("n", 1, **options)
    except ResponseError:
        assert sorted(await queue.redis.keys()) == before
    else:
        assert await job.state() == "waiting" and (await fetch(queue, 9))[-1] == job.id


async def test_a_worker_that_begins_works_the_backlog_off(queue: Queue, full: Any, redis_url: str, until: Any) -> None:
    await queue.add_bulk(("n", number) for number in range(50))
    await full()

    async def handle(job: Job) -> None:
        pass

    worker = Worker("emails", handle, redis=redis_url)
    running = asyncio.create_task(worker.run())

    async def done() -> bool:
        return (await queue.metrics()).completed == 50

    await until(done)
    await worker.stop()
    await running


async def test_what_only_helps_whoever_looks_is_left_out_and_said(
    queue: Queue, full: Any, start_worker: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crewline.queue.job._left_out_at", float("-inf"))

    async def handle(job: Job) -> tuple[int, int]:
        first = await job.log("while there is room")
        await full()
        await job.progress(1)
        return first, await job.log("left out")

    await start_worker(handle)
    job = await queue.add("n", 1, attempts=1)
    assert await job.result(timeout=20) == [1, 1]
    assert len([line for line in caplog.messages if "progress and log lines" in line]) == 1
    with pytest.raises(ResponseError):
        # who is no handler is told
        await job.progress(2)
