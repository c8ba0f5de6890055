"""Handlers that end themselves, and the threads of plain ones: neither takes the worker along or holds it back."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from typing import Any

import pytest
from crewline import CrewlineError, Job, JobFailed, Queue, SyncJob
from crewline.worker.threads.pool import Pool
from crewline.worker.threads.threads import Threads

#: A worker whose only handler hangs in a thread; it is stopped once the handler runs.
STUCK = """
import asyncio, sys, time
from crewline import Worker

async def main():
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def handle(job):
        loop.call_soon_threadsafe(begun.set)
        time.sleep(600)

    worker = Worker("emails", handle, redis=sys.argv[1])
    running = asyncio.create_task(worker.run())
    await begun.wait()
    await worker.stop(grace_seconds=0)
    await running

asyncio.run(main())
"""


async def test_a_worker_whose_handler_hangs_in_a_thread_ends_when_it_is_told_to(queue: Queue, redis_url: str) -> None:
    await queue.add("n", {})
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", STUCK, redis_url)
    try:
        assert await asyncio.wait_for(worker.wait(), 30) == 0
    finally:
        if worker.returncode is None:
            worker.kill()
            await worker.wait()


def exits(job: Any) -> Any:
    match job.data:
        case "exit":
            sys.exit(3)
        case "interrupt":
            raise KeyboardInterrupt
        case "cancelled":
            raise asyncio.CancelledError
        case "empty":
            return next(iter(()))
    return job.data


async def exits_on_the_loop(job: Job) -> Any:
    return exits(job)


ENDS = [
    ("exit", r"the handler called sys.exit\(3\)"),
    ("interrupt", "the handler raised KeyboardInterrupt"),
    ("cancelled", "the handler awaited something that was cancelled"),
    ("empty", "StopIteration"),
]


@pytest.mark.parametrize("handler", [exits, exits_on_the_loop])
@pytest.mark.parametrize(("data", "said"), ENDS)
async def test_a_handler_that_ends_itself_is_retried_and_the_worker_goes_on(
    queue: Queue, start_worker: Any, handler: Any, data: str, said: str
) -> None:
    await start_worker(handler, concurrency=1)
    job = await queue.add("n", data, attempts=2, backoff=0.01)
    with pytest.raises(JobFailed, match=said):
        await job.result(timeout=30)
    failed = await queue.get_job(job.id)
    assert failed is not None and failed.attempts_made == 2
    assert await (await queue.add("n", "well")).result(timeout=30) == "well"


async def test_a_handler_that_awaits_a_cancelled_task_is_retried(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> str:
        if job.attempts_made == 0:
            task = asyncio.ensure_future(asyncio.sleep(60))
            task.cancel()
            await task
        return "second time"

    await start_worker(handler := handle)
    assert handler and await (await queue.add("n", {}, attempts=2, backoff=0.01)).result(timeout=30) == "second time"


async def test_a_call_of_a_thread_whose_loop_is_closed_fails_at_once(queue: Queue) -> None:
    job = await queue.add("n", {})
    loop = asyncio.new_event_loop()
    loop.close()
    with pytest.raises(CrewlineError, match=rf"progress\(\) of job {job.id} can't be done any more"):
        SyncJob(job, loop).progress(1)


async def test_a_call_that_a_closing_loop_drops_does_not_block_its_thread(queue: Queue) -> None:
    job = await queue.add("n", {})
    loop = asyncio.new_event_loop()
    handed_over = threading.Event()
    loop.call_soon_threadsafe = lambda *args, **kwargs: handed_over.set()  # type: ignore[method-assign]
    raised: list[BaseException] = []

    def call() -> None:
        try:
            SyncJob(job, loop).progress(1)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    assert handed_over.wait(30)
    loop.close()
    await asyncio.to_thread(thread.join, 30)
    assert "its worker has stopped" in str(raised[0])


def named(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


async def test_a_pool_has_a_thread_a_call_up_to_its_size_and_can_shrink_and_grow(until: Any) -> None:
    pool = Pool(3, "some-pool")
    release = threading.Event()
    calls = [pool.call(release.wait) for _ in range(5)]
    assert len(named("some-pool")) == 3
    pool.resize(4)
    assert len(named("some-pool")) == 4
    release.set()
    assert await asyncio.gather(*calls) == [True] * 5
    pool.resize(1)
    await until(lambda: len(named("some-pool")) == 1)
    assert await asyncio.gather(*(pool.call(lambda n=n: n) for n in range(20))) == list(range(20))
    assert len(named("some-pool")) == 1
    pool.resize(2)
    release.clear()
    calls = [pool.call(release.wait) for _ in range(2)]
    await until(lambda: len(named("some-pool")) == 2)
    release.set()
    await asyncio.gather(*calls)
    pool.close()
    await until(lambda: not named("some-pool"))
    with pytest.raises(CrewlineError, match="is closed"):
        pool.call(release.wait)


@pytest.mark.parametrize("how", ["raises", "hands on"])
async def test_nothing_is_left_of_what_a_thread_comes_to_after_its_time(
    queue: Queue, start_worker: Any, how: str, recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    async def never() -> None: ...

    def handle(job: SyncJob) -> Any:
        time.sleep(0.2)
        if how == "raises":
            raise ValueError("after its time")
        return never()

    job = await queue.add("n", {}, attempts=1)
    await start_worker(handle, timeout_seconds=0.05)
    with pytest.raises(JobFailed, match=r"timed out after 0.05 s"):
        await job.result(timeout=10)
    gc.collect()
    assert "never retrieved" not in caplog.text
    assert not [each for each in recwarn if "never awaited" in str(each.message)]
    stored = await queue.get_job(job.id)
    assert stored and ("after its time" in stored.stacktrace[0]) == (how == "raises")


async def test_a_pool_that_grows_where_there_are_no_threads_to_be_had_goes_on_with_those_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    pool, release = Pool(1, "small-pool"), threading.Event()
    calls = [pool.call(release.wait) for _ in range(3)]
    monkeypatch.setattr(threading.Thread, "start", refuse)
    pool.resize(3)
    release.set()
    assert await asyncio.gather(*calls) == [True] * 3
    pool.close()


@pytest.mark.parametrize("seconds", [0, 0.6])
async def test_the_time_of_a_job_begins_with_its_thread(
    queue: Queue, until: Any, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    release, threads = threading.Event(), Threads(2)
    job = await queue.add("n", {})
    first = asyncio.create_task(threads.run(job, lambda _: release.wait(30), (None,), None))
    await until(lambda: threads._pool._count)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    second = asyncio.create_task(threads.run(job, lambda _: time.sleep(seconds), (None,), 0.2))
    # longer than the second may take
    asyncio.get_running_loop().call_later(0.5, release.set)
    assert (await first)[0]
    if seconds:
        with pytest.raises(TimeoutError, match=r"after 0.2 s \(its thread ran"):
            await second
    else:
        value, took = await second
        assert value is None and took < 0.2
    threads.close()


async def test_an_idle_thread_is_used_before_another_is_started(until: Any) -> None:
    pool = Pool(8, "idle-pool")
    for number in range(50):
        assert await pool.call(lambda: threading.get_ident())
        # it tells its result before it waits for the next
        await until(lambda: pool._idle == 1)
        assert len(named("idle-pool")) == 1, number
    pool.close()


async def test_a_closed_pool_drops_what_has_not_begun() -> None:
    pool = Pool(1, "closing-pool")
    release, begun = threading.Event(), threading.Event()

    def hold() -> str:
        begun.set()
        release.wait(30)
        return "held"

    running, waiting = pool.call(hold), pool.call(hold)
    assert await asyncio.to_thread(begun.wait, 30)
    pool.close()
    release.set()
    assert await running == "held" and waiting.cancelled()
