"""A free slot and a backlog make a fetch, whatever ended the run before: no worker stops in silence."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from crewline import Job, JobFailed, Queue, Reject, Worker
from crewline.worker.calls.wakeup import MarkerWatch
from crewline.worker.runs.execution import Executor
from crewline.worker.runs.run import Run


@pytest.fixture(autouse=True)
def no_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has lost a wake-up looks by time as well, every 5 s at most: here later than these tests wait."""
    make = MarkerWatch.__init__

    def patient(watch: MarkerWatch, *arguments: Any, **options: Any) -> None:
        make(watch, *arguments, **options)
        watch._block_seconds = 60.0

    monkeypatch.setattr(MarkerWatch, "__init__", patient)


class Stuck:
    """A handler in a thread whose first job lasts until it is let go."""

    def __init__(self) -> None:
        self.begun, self.gate = threading.Event(), threading.Event()
        self.let_go = self.gate.set

    def __call__(self, job: Any) -> str:
        if job.name == "stuck":
            self.begun.set()
            assert self.gate.wait(30)
        return "ran"


class CleansUpForEver:
    """A handler that takes no end when it is told to end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def handle(self, job: Job) -> None:
        self.begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(60)


@pytest.fixture
def stuck() -> Any:
    handler = Stuck()
    yield handler
    handler.let_go()


async def test_a_slot_whose_thread_was_cancelled_is_filled_when_the_thread_ends(
    queue: Queue, start_worker: Any, until: Any, stuck: Stuck
) -> None:
    first = await queue.add("stuck", {})
    await start_worker(stuck, concurrency=1)
    await until(stuck.begun.is_set)
    # the backlog that the last fetch did not see: nothing but the slot's end tells of it
    second = await queue.add("n", {})
    await first.cancel("no more")
    with pytest.raises(JobFailed, match="no more"):
        await first.result(timeout=5)
    stuck.let_go()
    assert await second.result(timeout=5) == "ran"


async def test_a_slot_whose_run_lost_its_lease_is_filled_again(queue: Queue, start_worker: Any, until: Any) -> None:
    async def handle(job: Job) -> str:
        if job.name == "lost":
            lock = queue.keys.job(job.id) + ":lock"
            await queue.redis.set(lock, "another's", px=60_000)
            await job.progress(1)  # raises LeaseLost
        return "ran"

    await queue.add("lost", {})
    second = await queue.add("n", {})
    worker = await start_worker(handle, concurrency=1)
    assert await second.result(timeout=5) == "ran"
    # the entry died with its run: it can't keep a later job of that id alive
    await until(lambda: not worker._slots.leases)


async def test_slots_whose_leases_the_renewal_finds_gone_are_filled_again(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    begun: list[str] = []

    async def handle(job: Job) -> str:
        begun.append(job.id)
        if job.name == "long":
            await asyncio.sleep(60)
        return "ran"

    taken = await queue.add_bulk([("long", {}), ("long", {})])
    worker = await start_worker(handle, concurrency=2, lease_seconds=0.6)
    await until(lambda: len(begun) == 2)
    later = await queue.add("n", {})
    for job in taken:
        await queue.redis.set(queue.keys.job(job.id) + ":lock", "another's", px=60_000)
    assert await later.result(timeout=5) == "ran"
    assert worker.running == 0


async def test_a_slot_whose_thread_lost_its_lease_is_filled_when_the_thread_ends(
    queue: Queue, start_worker: Any, until: Any, stuck: Stuck
) -> None:
    first = await queue.add("stuck", {})
    worker = await start_worker(stuck, concurrency=1, lease_seconds=0.6)
    await until(stuck.begun.is_set)
    second = await queue.add("n", {})
    await queue.redis.set(queue.keys.job(first.id) + ":lock", "another's", px=60_000)
    await until(lambda: not worker._slots.leases)
    assert worker.running == 1
    stuck.let_go()
    assert await second.result(timeout=5) == "ran"


async def test_waiting_suspects_are_handed_back_by_a_worker_that_stops_while_it_marks_one(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    marking = asyncio.Event()

    async def never(self: Any, *arguments: Any) -> int:
        marking.set()
        await asyncio.sleep(60)
        return 0

    async def handle(job: Job) -> None:
        raise Reject("it must not run")

    monkeypatch.setattr("crewline.redis.scripts.Scripts.mark_alone", never)
    job = await queue.add("n", {})
    await queue.redis.hset(queue.keys.job(job.id), "suspect", "9")
    worker = await start_worker(handle)
    await asyncio.wait_for(marking.wait(), 5)
    await worker.stop(grace_seconds=0)
    await until(lambda: _state(job, "waiting"))
    stored = await queue.get_job(job.id)
    assert stored is not None and (stored.attempts_made, stored.attempts_started) == (0, 0)
    assert await queue.redis.hget(queue.keys.job(job.id), "alone") is None


async def test_a_clean_up_that_takes_for_ever_does_not_keep_the_job_of_a_worker_that_stops(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    handler = CleansUpForEver()
    job = await queue.add("n", {})
    worker = await start_worker(handler.handle)
    await asyncio.wait_for(handler.begun.wait(), 5)
    await worker.stop(grace_seconds=0)
    await until(lambda: _state(job, "waiting"))


async def _state(job: Job, state: str) -> bool:
    return await job.state() == state


async def test_a_suspect_that_runs_alone_has_its_grace_when_the_worker_stops(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    begun, gate = asyncio.Event(), asyncio.Event()

    async def handle(job: Job) -> str:
        begun.set()
        await gate.wait()
        return "ended"

    job = await queue.add("n", {})
    await queue.redis.hset(queue.keys.job(job.id), "suspect", "1")
    worker = await start_worker(handle)  # a closure: no child can import it
    await asyncio.wait_for(begun.wait(), 5)
    await worker.stop(grace_seconds=10)
    gate.set()
    assert await job.result(timeout=5) == "ended"


async def test_a_worker_that_is_cancelled_hands_its_jobs_back(queue: Queue, redis_url: str, until: Any) -> None:
    begun = asyncio.Event()

    async def handle(job: Job) -> None:
        begun.set()
        await asyncio.sleep(60)

    job = await queue.add("n", {})
    running = asyncio.create_task(Worker("emails", handle, redis=redis_url).run())
    await asyncio.wait_for(begun.wait(), 5)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 10)
    assert await job.state() == "waiting"


async def test_a_cancelled_run_stays_cancelled_when_the_worker_stops_during_its_clean_up(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    handler = CleansUpForEver()
    job = await queue.add("n", {})
    worker = await start_worker(handler.handle)
    await asyncio.wait_for(handler.begun.wait(), 5)
    assert await job.cancel("no more")
    await until(lambda: worker._slots.mine()[0].status.name == "CANCELLED")
    await worker.stop(grace_seconds=0)
    with pytest.raises(JobFailed, match="no more"):
        await job.result(timeout=5)


async def test_a_job_that_could_not_be_taken_in_holds_no_slot_and_is_named_by_no_beat(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failed: list[str] = []
    start = Executor.start

    def once(self: Executor, run: Run, **options: Any) -> None:
        if not failed:
            failed.append(run.job.id)
            self._slots.start(run)
            raise ZeroDivisionError("a bug")
        start(self, run, **options)

    async def handle(job: Job) -> str:
        return "ran"

    monkeypatch.setattr(Executor, "start", once)
    worker = await start_worker(handle, concurrency=1)
    await queue.add("n", {})
    await until(lambda: failed)
    assert await (await queue.add("n", {})).result(timeout=5) == "ran"
    assert "could not be taken in: its lease ends" in caplog.text
    assert not worker._slots.mine() and not worker._slots.leases
    assert worker._slots.emptied.is_set()
