"""What a worker offers beyond running jobs: routes, typed data, processes, hooks, events, changes at run time."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import Any

import pytest
from crewline import (
    Backoff,
    InvalidOption,
    Job,
    JobFailed,
    JobQueue,
    Middleware,
    Queue,
    Router,
    Worker,
)
from typing_extensions import TypedDict

from tests.redis import process_handlers


async def test_jobs_are_routed_by_name_and_an_unknown_name_fails_with_the_names_there_are(
    queue: Queue, start_worker: Any
) -> None:
    router = Router()

    @router.on("welcome")
    async def welcome(job: Job) -> str:
        return "hello"

    @router.on("resize", "crop")
    def image(job: Any) -> str:
        return f"{job.name}d"

    await start_worker(router)
    assert await (await queue.add("welcome", 1)).result(timeout=5) == "hello"
    assert await (await queue.add("crop", 1)).result(timeout=5) == "cropd"
    lost = await queue.add("lost", 1, attempts=1)
    with pytest.raises(JobFailed, match=r"no handler for jobs named 'lost' \(there are: crop, resize, welcome\)"):
        await lost.result(timeout=5)


def test_two_handlers_for_one_name_are_refused() -> None:
    router = Router()
    router.on("a")(lambda job: None)
    with pytest.raises(InvalidOption, match="two handlers for job name 'a'"):
        router.on("a")(lambda job: None)


@dataclass
class Welcome:
    to: str
    copies: int = 1


class Resize(TypedDict):
    width: int


async def test_data_is_checked_against_the_handlers_annotation_and_wrong_data_is_rejected(
    queue: Queue, start_worker: Any
) -> None:
    async def welcome(job: Job, data: Welcome) -> list[Any]:
        return [data.to, data.copies]

    await start_worker(welcome)
    assert await (await queue.add("n", {"to": "a"})).result(timeout=5) == ["a", 1]
    wrong = await queue.add("n", {"copies": "many"}, attempts=5)
    with pytest.raises(JobFailed, match=r"invalid data: to: Field required \(and 1 more\)"):
        await wrong.result(timeout=5)
    stored = await queue.get_job(wrong.id)
    assert stored is not None and stored.attempts_made == 1


async def test_typed_dicts_work_too_and_in_threads(queue: Queue, start_worker: Any) -> None:
    def resize(job: Any, data: Resize) -> int:
        return data["width"] * 2

    await start_worker(resize)
    assert await (await queue.add("n", {"width": 4})).result(timeout=5) == 8


async def test_a_process_runs_the_handler_apart_and_passes_everything_through(queue: Queue, start_worker: Any) -> None:
    await start_worker(process_handlers.work, execution="process", concurrency=2)
    job = await queue.add("n", {"do": "pid"})
    assert await job.result(timeout=15) != os.getpid()
    stored = await queue.get_job(job.id)
    assert stored is not None and stored.progress_value == {"half": True} and await stored.logs() == ["from a child"]
    assert await (await queue.add("n", {"do": "retry"})).result(timeout=15) == "second time"
    for what, said in (("reject", "not this one"), ("raise", "in a child"), ("die", "process exited with code 7")):
        failing = await queue.add("n", {"do": what}, attempts=1)
        with pytest.raises(JobFailed, match=said):
            await failing.result(timeout=15)
    assert "ValueError: in a child" in (await queue.get_job("4")).stacktrace[0]  # type: ignore[union-attr]
    # the worker is as well as before
    assert await (await queue.add("n", {"do": "pid"})).result(timeout=15)


async def test_a_run_in_a_process_that_exceeds_its_time_is_killed(queue: Queue, start_worker: Any) -> None:
    await start_worker(process_handlers.work, execution="process", timeout_seconds=2, concurrency=1)
    job = await queue.add("n", {"do": "spin"}, attempts=1)
    with pytest.raises(JobFailed, match="timed out after 2 s: its process was killed"):
        await job.result(timeout=20)
    assert await (await queue.add("n", {"x": 1})).result(timeout=20) == {"x": 1}


def test_a_handler_that_no_process_could_find_is_refused(redis_url: str) -> None:
    def local(job: Any) -> None: ...

    with pytest.raises(InvalidOption, match="top level of a module"):
        Worker("emails", local, redis=redis_url, execution="process")

    async def asynchronous(job: Any) -> None: ...

    with pytest.raises(InvalidOption, match="`async def`"):
        Worker("emails", asynchronous, redis=redis_url, execution="process")


async def test_a_running_job_is_cancelled_from_outside_without_retry_or_letter(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    async def hang(job: Job) -> None:
        await asyncio.Event().wait()

    await start_worker(hang)
    job = await queue.add("n", 1)
    await until(lambda: _is(job, "active"))
    assert await job.cancel("not needed any more")
    with pytest.raises(JobFailed, match="not needed any more"):
        await job.result(timeout=10)
    assert (await queue.metrics()).dead == 0
    assert await job.cancel() is False


async def _is(job: Job, state: str) -> bool:
    return await job.state() == state


async def test_a_waiting_or_delayed_job_is_cancelled_at_once(queue: Queue) -> None:
    waiting, delayed = await queue.add("n", 1), await queue.add("n", 1, delay=60)
    assert await waiting.cancel("no") and await delayed.cancel("no")
    counts = await queue.metrics()
    assert (counts.waiting, counts.delayed, counts.failed) == (0, 0, 2)


async def test_hooks_run_around_every_job_and_their_errors_hold_up_nobody(queue: Queue, start_worker: Any) -> None:
    seen: list[Any] = []

    class Spy(Middleware):
        async def before(self, job: Job) -> None:
            seen.append(("before", job.name))

        async def after(self, job: Job, result: Any) -> None:
            seen.append(("after", result))
            raise RuntimeError("a bad hook")

        async def failed(self, job: Job, error: BaseException) -> None:
            seen.append(("failed", str(error)))

    async def handle(job: Job) -> str:
        if job.name == "bad":
            raise ValueError("no")
        return "yes"

    await start_worker(handle, middleware=[Spy()])
    assert await (await queue.add("good", 1)).result(timeout=5) == "yes"
    with pytest.raises(JobFailed):
        await (await queue.add("bad", 1, attempts=1)).result(timeout=5)
    assert seen == [("before", "good"), ("after", "yes"), ("before", "bad"), ("failed", "no")]


async def test_a_hook_hears_of_the_end_of_what_it_heard_begin_and_of_nothing_else(
    queue: Queue, start_worker: Any
) -> None:
    seen: list[str] = []

    class Spy(Middleware):
        def __init__(self, name: str) -> None:
            self.name = name

        async def before(self, job: Job) -> None:
            seen.append(f"{self.name} before {job.name}")
            if job.name == "refused" and self.name == "first":
                raise ValueError("not now")

        async def failed(self, job: Job, error: BaseException) -> None:
            seen.append(f"{self.name} failed {job.name}")

    router = Router()
    router.on("refused")(lambda job: None)
    await start_worker(router, middleware=[Spy("first"), Spy("second")])
    for name in ("refused", "unknown"):
        with pytest.raises(JobFailed):
            await (await queue.add(name, 1, attempts=1)).result(timeout=5)
    assert seen == [
        "first before refused", "first failed refused",
        "first before unknown", "second before unknown", "first failed unknown", "second failed unknown",
    ]  # fmt: skip


async def test_a_worker_tells_its_program_what_happens(queue: Queue, redis_url: str, until: Any) -> None:
    seen: list[Any] = []

    async def handle(job: Job) -> None:
        if job.attempts_made == 0:
            raise ValueError("first")

    worker = Worker("emails", handle, redis=redis_url)
    for event in ("ready", "active", "completed", "retrying", "failed", "stopping"):
        worker.on(event, lambda *told, event=event: seen.append((event, *(str(t) for t in told[1:]))))
    with pytest.raises(InvalidOption, match="worker event 'done' must be one of"):
        worker.on("done", print)
    running = asyncio.create_task(worker.run())
    await worker.wait_ready()
    await (await queue.add("n", 1, attempts=2, backoff=0)).result(timeout=5)
    await worker.stop()
    await running
    assert seen == [("ready",), ("active",), ("retrying", "first"), ("active",), ("completed",), ("stopping",)]


async def test_a_route_that_came_after_its_worker_is_served(queue: Queue, start_worker: Any) -> None:
    router = Router()

    @router.on("first")
    async def first(job: Job) -> str:
        return "first"

    await start_worker(router)

    @router.on("later")
    def later(job: Any) -> str:
        return "in a thread"

    assert await (await queue.add("later", {}, attempts=1)).result(timeout=5) == "in a thread"


async def test_concurrency_changes_while_the_worker_runs(queue: Queue, start_worker: Any, until: Any) -> None:
    running = 0

    async def handle(job: Job) -> None:
        nonlocal running
        running += 1
        await asyncio.sleep(0.4)
        running -= 1

    worker: Worker = await start_worker(handle, concurrency=1)
    await queue.add_bulk(("n", i) for i in range(20))
    await until(lambda: running == 1)
    worker.concurrency = 5
    await until(lambda: running == 5)
    worker.concurrency = 2
    await until(lambda: running == 2)
    with pytest.raises(InvalidOption, match="concurrency 0"):
        worker.concurrency = 0


async def test_a_worker_paused_by_itself_leaves_the_queue_to_others(queue: Queue, start_worker: Any) -> None:
    async def by(name: str, job: Job) -> str:
        return name

    async def first(job: Job) -> str:
        return "first"

    async def second(job: Job) -> str:
        return "second"

    worker: Worker = await start_worker(first)
    worker.pause()
    await start_worker(second)
    results = [await (await queue.add("n", i)).result(timeout=10) for i in range(3)]
    assert results == ["second"] * 3
    worker.resume()


async def test_a_wait_of_ones_own_between_attempts(queue: Queue, start_worker: Any) -> None:
    times: list[float] = []

    async def handle(job: Job) -> None:
        times.append(time.monotonic())
        if len(times) < 3:
            raise ValueError("no")

    await start_worker(handle, backoffs={"linear": lambda made, error: made * 0.1})
    job = await queue.add("n", 1, attempts=3, backoff=Backoff.named("linear"))
    await job.result(timeout=5)
    assert times[1] - times[0] >= 0.099 and times[2] - times[1] >= 0.199


async def test_a_workers_own_rate_limit(queue: Queue, start_worker: Any, until: Any) -> None:
    times: list[float] = []

    async def handle(job: Job) -> None:
        times.append(time.monotonic())

    await queue.add_bulk(("n", i) for i in range(9))
    await start_worker(handle, rate=(3, 0.4))
    await until(lambda: len(times) == 9)
    assert times[-1] - times[0] >= 0.7


async def test_workers_are_listed_while_they_live(queue: Queue, start_worker: Any, until: Any) -> None:
    async def hang(job: Job) -> None:
        await asyncio.sleep(30)

    worker: Worker = await start_worker(hang, name="pod-a", concurrency=7)
    job = await queue.add("n", 1)

    async def listed() -> bool:
        return any(w["slots"] == 7 and w["running"] == [job.id] for w in await queue.workers())

    await until(listed)
    await worker.stop(grace_seconds=0)
    await until(lambda: _none(queue))


async def _none(queue: Queue) -> bool:
    return await queue.workers() == []


async def test_per_minute_counts_in_bullmqs_own_keys(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> None: ...

    await start_worker(handle, metrics_minutes=60)
    await (await queue.add("n", 1)).result(timeout=5)
    # the minute that was counted is over
    minute_ago = int(await queue.redis.hget(queue.keys.base + "metrics:completed", "prevTS")) - 60_000
    await queue.redis.hset(queue.keys.base + "metrics:completed", "prevTS", minute_ago)
    await (await queue.add("n", 1)).result(timeout=5)
    assert await queue.metrics_history() == [1]
    assert await queue.redis.hget(queue.keys.base + "metrics:completed", "count") == b"2"


async def test_watching_a_job_tells_its_progress_and_states(queue: Queue, start_worker: Any) -> None:
    go_on = asyncio.Event()

    async def handle(job: Job) -> None:
        await go_on.wait()
        await job.progress(50)

    job = await queue.add("n", 1)
    updates = []
    async for update in job.watch():
        updates.append((update.state, update.progress))
        if len(updates) == 1:
            await start_worker(handle)
            go_on.set()
    assert updates == [("waiting", 0), ("active", 0), ("active", 50), ("completed", 50)]


async def test_one_object_adds_and_works(redis_url: str, until: Any) -> None:
    told: list[tuple[str, Any]] = []

    async def handle(job: Job) -> str:
        await job.progress({"at": 1})
        return "done"

    jobs = JobQueue("emails", redis=redis_url, concurrency=3)
    jobs.on_progress(lambda job_id, progress: told.append((job_id, progress)))
    await jobs.start(handle)
    job = await jobs.enqueue({"to": "a"}, priority=2, attempts=4, backoff=1.0)
    assert await job.result(timeout=5) == "done"
    await until(lambda: told == [(job.id, {"at": 1})])
    # other clients' progress is told, too
    await (await jobs.queue.get_job(job.id)).progress("by another")  # type: ignore[union-attr]
    await until(lambda: told[-1] == (job.id, "by another"))
    assert (await jobs.metrics()).completed == 1
    assert await jobs.pause() and (await jobs.metrics()).paused and await jobs.resume()
    await jobs.shutdown()


def test_the_blocking_producer_has_the_same_names(redis_url: str) -> None:
    from crewline import sync

    with sync.Queue("emails", redis=redis_url) as queue:
        job = queue.add("n", {"v": 1}, delay=60)
        assert job.state() == "delayed" and job.data == {"v": 1}
        assert [each.id for each in queue.add_bulk([("n", 1), ("n", 2)])] == ["2", "3"]
        assert queue.metrics().waiting == 2
        with pytest.raises(InvalidOption, match="priority"):
            queue.add("n", 1, priority=-1)
        assert queue.remove(job.id) and queue.get_job(job.id) is None
        assert queue.pause() and queue.resume()


async def test_a_longer_lease_is_not_made_shorter_by_renewals(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> int:
        await job.extend(30)
        await asyncio.sleep(0.6)
        return int(await queue.redis.pttl(queue.keys.job(job.id) + ":lock"))

    await start_worker(handle, lease_seconds=0.5)
    assert await (await queue.add("n", 1)).result(timeout=5) > 25_000
