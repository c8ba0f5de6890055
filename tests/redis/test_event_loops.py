"""One object in several event loops: what belongs to a closed one is dropped; two that live are told to part."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import redis as sync_redis
import uvloop
from crewline import CrewlineError, DeadLetters, FlowJob, Job, JobNotFound, Queue, Worker

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def _run(work: Coroutine[Any, Any, Any], loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> Any:
    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(work)


@pytest.fixture
def producer(redis_url: str) -> Any:
    queue = Queue("emails", redis=redis_url)
    yield queue
    asyncio.run(queue.close())


async def _use(queue: Queue, until: Any) -> None:
    """All ways by which a queue asks Redis, several at once, so that each has connections and locks that were held."""
    jobs = await asyncio.gather(*(queue.add("n", number) for number in range(5)))
    await queue.add_bulk([("n", 1), ("n", 2)])
    flow = await queue.add_flow(FlowJob("parent", children=[FlowJob("child", queue="others")]))
    await queue.schedule("hourly", "n", every=3600)
    await asyncio.gather(*(queue.metrics() for _ in range(5)))
    assert await DeadLetters(queue).count() == 0
    assert await queue.get_job(jobs[0].id)
    waiting = [asyncio.create_task(job.result(timeout=20)) for job in (*jobs, flow.children[0].job)]
    await until(lambda: queue._results._reader)
    for job in jobs:
        await queue.remove(job.id)
    await flow.job.remove()
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [JobNotFound] * 6


@pytest.mark.parametrize("loop", LOOPS)
def test_a_queue_serves_one_event_loop_after_the_other(producer: Queue, until: Any, loop: Any) -> None:
    for _ in range(3):
        _run(_use(producer, until), loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_the_connections_of_a_closed_loop_are_closed(producer: Queue, until: Any, redis_url: str, loop: Any) -> None:
    with sync_redis.Redis.from_url(redis_url) as admin:

        def connected() -> set[str]:
            return {each["id"] for each in admin.client_list()}

        others = connected()
        _run(_use(producer, until), loop)
        of_first = connected() - others
        _run(producer.add("n", 1))
        assert not connected() & of_first


def test_no_descriptor_is_left_of_loops_that_are_closed(producer: Queue, until: Any) -> None:
    def opened() -> int:
        gc.collect()
        return len(list(Path("/proc/self/fd").iterdir()))

    _run(_use(producer, until))
    _run(producer.add("n", 0))
    before = opened()
    for number in range(10):
        _run(producer.add("n", number))
    assert opened() == before


def test_two_loops_at_a_time_are_told_what_to_do(producer: Queue) -> None:
    told: list[BaseException] = []

    def other() -> None:
        for work in (producer.add("n", 2), producer.metrics(), job.result(1), producer.add_bulk([("n", 1)])):
            try:
                asyncio.run(work)
            except CrewlineError as error:
                told.append(error)

    async def first() -> None:
        nonlocal job
        job = await producer.add("n", 1)
        await asyncio.to_thread(other)
        await producer.add("n", 3)

    job: Any = None
    asyncio.run(first())
    assert len(told) == 4
    assert all("make one for each loop" in str(error) and "crewline.sync" in str(error) for error in told)


def test_threads_take_turns_when_each_closes_its_loop(producer: Queue) -> None:
    for number in range(4):
        thread = threading.Thread(target=asyncio.run, args=(producer.add("n", number),))
        thread.start()
        thread.join()
    assert asyncio.run(producer.metrics()).waiting == 4


def test_a_worker_that_was_made_on_one_loop_runs_on_another_and_once(redis_url: str) -> None:
    async def make() -> tuple[Worker, list[Any]]:
        ran: list[Any] = []

        async def handle(job: Job) -> None:
            ran.append(job.data)

        worker = Worker("emails", handle, redis=redis_url)
        await worker.queue.add("n", 7)
        return worker, ran

    async def work(worker: Worker, ran: list[Any]) -> None:
        running = asyncio.create_task(worker.run())
        await (await worker.queue.add("n", 8)).result(timeout=10)
        await worker.stop()
        await running

    worker, ran = asyncio.run(make())
    asyncio.run(work(worker, ran))
    assert sorted(ran) == [7, 8]
    with pytest.raises(CrewlineError, match="has run already: make another one"):
        asyncio.run(worker.run())
