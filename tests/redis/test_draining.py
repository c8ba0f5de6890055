"""A worker that is asked to drain: it fetches nothing more, what it runs goes on, and it says so of that request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from crewline import Job, Queue
from crewline.wire.drains import DRAIN_SECONDS, drain_key
from redis.exceptions import OutOfMemoryError

from tests import redis_server

Until = Callable[..., Awaitable[Any]]


class Gated:
    """A handler that holds its jobs until they may go on."""

    def __init__(self) -> None:
        self.running = 0
        self.go_on = asyncio.Event()

    async def __call__(self, job: Job) -> str:
        self.running += 1
        await self.go_on.wait()
        self.running -= 1
        return "done"


async def entry(queue: Queue, worker_id: str = "pod-1") -> dict[str, Any]:
    (found,) = [worker for worker in await queue.workers() if worker["id"] == worker_id]
    return found


def answered(queue: Queue, token: str, held: int = 0, worker_id: str = "pod-1") -> Callable[[], Awaitable[bool]]:
    """Whether the worker's entry says that it follows that request, and holds so many jobs."""

    async def look() -> bool:
        told = await entry(queue, worker_id)
        return (told["drain"], told["held"]) == (token, held)

    return look


async def test_an_idle_worker_answers_within_a_second_or_so_and_leaves_new_jobs_to_others(
    queue: Queue, start_worker: Any, until: Until
) -> None:
    async def handle(job: Job) -> str:
        return "done"

    worker = await start_worker(handle, worker_id="pod-1")
    tokens = await queue.drain_workers(["pod-1"])
    await until(answered(queue, tokens["pod-1"]))
    job = await queue.add("n", 1)
    # each beat would show a job that came
    for _ in range(3):
        beats = await queue.redis.pttl(queue.keys.extra(f"worker:{(await entry(queue))['name']}"))
        await until(lambda beats=beats: later(queue, beats))
        assert await answered(queue, tokens["pod-1"])()
    assert await job.state() == "waiting"
    assert worker.trouble() == ""
    await start_worker(handle, worker_id="pod-2")
    assert await job.result(timeout=5) == "done"


async def later(queue: Queue, left_ms: int) -> bool:
    """Whether a worker has beaten since its entry had so long to live."""
    return bool(await queue.redis.pttl(queue.keys.extra(f"worker:{(await entry(queue))['name']}")) > left_ms)


async def test_what_runs_goes_on_and_only_its_end_makes_the_answer_zero(
    queue: Queue, start_worker: Any, until: Until
) -> None:
    handler = Gated()
    await start_worker(handler.__call__, worker_id="pod-1", concurrency=5)
    jobs = [await queue.add("n", number) for number in range(2)]
    await until(lambda: handler.running == 2)
    token = (await queue.drain_workers(["pod-1"]))["pod-1"]
    await until(answered(queue, token, held=2))
    waits = await queue.add("n", 2)
    handler.go_on.set()
    assert [await job.result(timeout=5) for job in jobs] == ["done", "done"]
    await until(answered(queue, token))
    assert await waits.state() == "waiting"


async def test_a_worker_that_drains_no_more_fetches_what_waits(queue: Queue, start_worker: Any, until: Until) -> None:
    async def handle(job: Job) -> str:
        return "done"

    await start_worker(handle, worker_id="pod-1")
    token = (await queue.drain_workers(["pod-1"]))["pod-1"]
    await until(answered(queue, token))
    job = await queue.add("n", 1)
    await queue.undrain_workers(["pod-1", "another"])
    assert await job.result(timeout=5) == "done"
    assert (await entry(queue))["drain"] == ""


async def test_an_answer_to_an_earlier_request_is_none_to_a_later_one(
    queue: Queue, start_worker: Any, until: Until
) -> None:
    handler = Gated()
    await start_worker(handler.__call__, worker_id="pod-1")
    first = (await queue.drain_workers(["pod-1"]))["pod-1"]
    assert await queue.drain_workers(["pod-1"]) == {"pod-1": first}, "it holds, and is only made to hold on"
    await until(answered(queue, first))
    await queue.undrain_workers(["pod-1"])
    assert await queue.drains(["pod-1"]) == {}
    job = await queue.add("n", 1)
    await until(lambda: handler.running == 1)
    second = (await queue.drain_workers(["pod-1"]))["pod-1"]
    assert second != first and await queue.drains(["pod-1", "pod-2"]) == {"pod-1": second}
    await until(answered(queue, second, held=1))
    handler.go_on.set()
    assert await job.result(timeout=5) == "done"
    await until(answered(queue, second))


async def test_a_request_that_nobody_makes_again_ends_by_itself(queue: Queue, start_worker: Any, until: Until) -> None:
    async def handle(job: Job) -> str:
        return "done"

    await start_worker(handle, worker_id="pod-1")
    token = (await queue.drain_workers(["pod-1"], seconds=60))["pod-1"]
    await until(answered(queue, token))
    job = await queue.add("n", 1)
    assert await queue.drain_workers(["pod-1"], seconds=0.3) == {"pod-1": token}
    assert await job.result(timeout=5) == "done"

    await queue.drain_workers(["pod-1"])
    left_ms = await queue.redis.pttl(queue.keys.extra(drain_key("pod-1")))
    assert 0 < left_ms <= DRAIN_SECONDS * 1000


async def test_a_worker_that_is_asked_before_it_begins_is_ready_and_fetches_nothing(
    queue: Queue, start_worker: Any, until: Until
) -> None:
    async def handle(job: Job) -> str:
        return "done"

    token = (await queue.drain_workers(["pod-1"]))["pod-1"]
    job = await queue.add("n", 1)
    await start_worker(handle, worker_id="pod-1")
    assert await answered(queue, token)()
    assert await job.state() == "waiting"
    await queue.undrain_workers(["pod-1"])
    assert await job.result(timeout=5) == "done"


async def test_a_drain_and_a_pause_do_not_end_each_other(queue: Queue, start_worker: Any, until: Until) -> None:
    async def handle(job: Job) -> str:
        return "done"

    worker = await start_worker(handle, worker_id="pod-1")
    worker.pause()
    token = (await queue.drain_workers(["pod-1"]))["pod-1"]
    await until(answered(queue, token))
    worker.resume()
    job = await queue.add("n", 1)
    await until(answered(queue, token))
    worker.pause()
    await queue.undrain_workers(["pod-1"])
    await until(answered(queue, ""))
    assert await job.state() == "waiting"
    worker.resume()
    assert await job.result(timeout=5) == "done"


async def test_a_worker_of_no_given_id_is_asked_by_its_entry(queue: Queue, start_worker: Any, until: Until) -> None:
    async def handle(job: Job) -> None: ...

    await start_worker(handle)
    (told,) = await queue.workers()
    assert told["id"] == told["name"]
    token = (await queue.drain_workers([told["id"]]))[told["id"]]
    await until(answered(queue, token, worker_id=told["id"]))


async def test_a_value_of_another_type_in_its_place_is_no_request(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> str:
        return "done"

    key = queue.keys.extra(drain_key("pod-1"))
    await queue.redis.rpush(key, "x")
    await start_worker(handle, worker_id="pod-1")
    assert await (await queue.add("n", 1)).result(timeout=5) == "done"
    await queue.redis.delete(key)


async def test_requests_for_nobody_are_none(queue: Queue) -> None:
    await queue.undrain_workers([])
    assert await queue.drains([]) == {}
    assert await queue.drain_workers([]) == {}


async def test_a_request_that_holds_is_made_to_hold_on_also_where_redis_takes_no_new_one(tmp_path: Path) -> None:
    with redis_server.start(tmp_path) as server:
        async with Queue("full", redis=server.url) as queue:
            tokens = await queue.drain_workers(["pod-1"], seconds=5)
            await queue.redis.config_set("maxmemory", 1)
            assert await queue.drain_workers(["pod-1"]) == tokens
            assert await queue.redis.pttl(queue.keys.extra(drain_key("pod-1"))) > 5000
            with pytest.raises(OutOfMemoryError):
                await queue.drain_workers(["pod-1", "pod-2"])
            await queue.redis.config_set("maxmemory", 0)
