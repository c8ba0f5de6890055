"""Workers follow the settings of their queue while they run."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import Any

import pytest
from crewline import Backoff, InvalidOption, Job, Keep, Queue
from crewline.wire.settings import Settings

from tests.redis.process_handlers import attempts_told


class Counting:
    """A handler that holds its jobs, and how many run at once."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.go_on = asyncio.Event()

    async def __call__(self, job: Job) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.go_on.wait()
        self.running -= 1


async def applied(queue: Queue, generation: int) -> bool:
    return [worker["settings"] for worker in await queue.workers()] == [generation]


async def test_a_running_worker_takes_another_concurrency_within_two_seconds_and_tells_the_generation(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    handler = Counting()
    worker = await start_worker(handler.__call__, concurrency=2)
    await queue.add_bulk(("n", number) for number in range(20))
    await until(lambda: handler.running == 2)
    assert await applied(queue, 0)

    generation = await queue.configure(concurrency=7)
    await until(lambda: handler.running == 7, 2.0)
    await until(lambda: applied(queue, generation), 2.0)
    assert worker.concurrency == 7 and (await queue.workers())[0]["slots"] == 7

    assert await queue.configure() == 0
    await until(lambda: worker.concurrency == 2, 2.0)
    assert await applied(queue, 0)
    handler.go_on.set()


async def test_a_worker_started_later_applies_them_before_its_first_fetch(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    await queue.configure(generation=12, concurrency=1)
    await queue.add_bulk(("n", number) for number in range(5))
    handler = Counting()
    await start_worker(handler.__call__, concurrency=5)
    assert await applied(queue, 12)
    handler.go_on.set()
    await until(lambda: ended(queue, 5))
    assert handler.most == 1


async def ended(queue: Queue, count: int) -> bool:
    return (await queue.metrics()).completed == count


async def test_a_paused_worker_is_ready_and_fetches_nothing_until_it_is_not_paused(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    async def handle(job: Job) -> str:
        return "done"

    await queue.configure(paused=True)
    await start_worker(handle)
    job = await queue.add("n", 1)
    assert (await queue.workers())[0]["paused"] is True
    with pytest.raises(TimeoutError):
        await job.result(timeout=0.3)
    await queue.configure(paused=False)
    assert await job.result(timeout=2) == "done"
    await queue.configure(paused=True)
    await until(lambda: applied(queue, 3))
    later = await queue.add("n", 1)
    with pytest.raises(TimeoutError):
        await later.result(timeout=0.3)
    assert await later.state() == "waiting"


async def test_a_programs_own_pause_and_that_of_the_settings_do_not_end_each_other(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    async def handle(job: Job) -> str:
        return "done"

    worker = await start_worker(handle)
    worker.pause()
    for paused in (True, False):
        generation = await queue.configure(paused=paused)
        await until(lambda generation=generation: applied(queue, generation))
    held = await queue.add("n", 1)
    with pytest.raises(TimeoutError):
        await held.result(timeout=0.3)

    generation = await queue.configure(paused=True)
    await until(lambda: applied(queue, generation))
    worker.resume()
    with pytest.raises(TimeoutError):
        await held.result(timeout=0.3)
    assert (await queue.workers())[0]["paused"] is True
    await queue.configure(paused=False)
    assert await held.result(timeout=5) == "done"


async def test_a_bad_value_is_said_once_by_name_and_the_rest_is_applied(
    queue: Queue, start_worker: Any, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(job: Job) -> None: ...

    worker = await start_worker(handle, concurrency=4)
    key = "bull-crewline:emails:settings"
    with caplog.at_level(logging.WARNING, "crewline.worker"):
        await queue.redis.set(key, json.dumps({"generation": 5, "concurrency": -1, "rate": [3, 60], "new": 1}))
        await until(lambda: applied(queue, 5))
        await asyncio.sleep(1.2)  # beats go on, and say nothing more
    (line,) = [record.getMessage() for record in caplog.records]
    assert "settings of" not in line and "setting of generation 5" in line
    assert "concurrency -1 must be an integer of 1 or more; the worker's own stays; mend it" in line
    assert worker.concurrency == 4
    (told,) = (await queue.workers())[0]["refused"]
    assert told == "concurrency -1 must be an integer of 1 or more; the worker's own stays"
    await queue.add_bulk(("n", number) for number in range(10))
    await until(lambda: ended(queue, 3))
    assert (await queue.metrics()).waiting == 7, "the rate holds"


async def test_a_value_of_another_type_in_their_place_counts_as_none(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> str:
        return "done"

    await queue.redis.rpush("bull-crewline:emails:settings", "x")
    await start_worker(handle)
    assert await (await queue.add("n", 1)).result(timeout=5) == "done"
    assert await applied(queue, 0)


async def test_another_concurrency_under_load_is_never_exceeded_and_stops_no_fetch(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    allowed, running, done, over = 2, 0, 0, list[tuple[int, int]]()

    async def handle(job: Job) -> None:
        nonlocal running, done
        running += 1
        if running > allowed:
            over.append((running, allowed))
        await asyncio.sleep(0.02)
        running -= 1
        done += 1

    worker = await start_worker(handle, concurrency=2)
    await queue.add_bulk(("n", number) for number in range(6000))
    for concurrency in (9, 3, 12, 1, 5, 2):
        # until the worker says so, either number may hold; what began under the larger one ends in its own time
        allowed = max(concurrency, worker.concurrency)
        await queue.configure(concurrency=concurrency)
        await until(lambda concurrency=concurrency: worker.concurrency == concurrency, 3.0)
        await until(lambda concurrency=concurrency: running <= concurrency, 3.0)
        allowed = concurrency
        before = done
        await until(lambda before=before: done > before + 20, 5.0)
        assert running <= concurrency and (await queue.metrics()).waiting
    assert over == []


async def test_a_job_that_begins_later_has_the_new_timeout_and_one_that_runs_keeps_its_own(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    go_on = asyncio.Event()

    async def handle(job: Job) -> str:
        await (go_on if job.name == "early" else asyncio.Event()).wait()
        return "ended"

    await start_worker(handle, timeout_seconds=60)
    early = await queue.add("early", 1)
    await until(lambda: is_active(queue, 1))
    generation = await queue.configure(timeout_seconds=0.1)
    await until(lambda: applied(queue, generation))
    late = await queue.add("late", 1, attempts=1)
    await until(lambda: failed(queue, 1))
    assert (await found(queue, late.id)).failed_reason == "timed out after 0.1 s"
    assert await is_active(queue, 1), "what ran goes on"
    go_on.set()
    assert await early.result(timeout=5) == "ended"


async def is_active(queue: Queue, count: int) -> bool:
    return (await queue.metrics()).active == count


async def test_the_settings_are_told_as_they_were_set(queue: Queue) -> None:
    assert await queue.settings() == Settings()
    await queue.configure(concurrency=3, timeout_seconds=1.5, keep_failed=Keep(count=4))
    assert await queue.settings() == Settings(1, concurrency=3, timeout_seconds=1.5, keep_failed=Keep(count=4))
    await queue.redis.set("bull-crewline:emails:settings", '{"generation": 4, "concurrency": "x", "rate": [5, 1]}')
    assert await queue.settings() == Settings(4, rate=(5, 1))


async def test_retention_is_followed(queue: Queue, start_worker: Any, until: Any) -> None:
    async def handle(job: Job) -> None: ...

    await queue.configure(keep_completed=Keep(count=2))
    await start_worker(handle)
    for number in range(4):
        await (await queue.add("n", number)).result(timeout=5)
    assert await queue.redis.zcard(queue.keys.completed) == 2


async def test_jobs_that_say_nothing_of_attempts_get_the_settings_ones(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    async def fail(job: Job) -> None:
        raise ValueError(job.name)

    await queue.configure(attempts=4, backoff=Backoff("fixed", 0.0, 0))
    await start_worker(fail)
    await queue.add("own", 1, attempts=1)
    # as BullMQ's clients add a job: attempts 0 where nothing was said
    await queue.redis.hset(queue.keys.job("node"), mapping={"name": "n", "data": "1", "opts": '{"attempts":0}'})
    await queue.redis.lpush(queue.keys.wait, "node")
    await queue.add("own", 2, attempts=2, backoff=0)
    # whose options have 3 attempts and a wait of a second, for BullMQ's workers, and say that nobody asked for these
    await queue.add("ours", 3)
    await queue.add("as much as we would write", 4, attempts=3, backoff=0)
    await until(lambda: failed(queue, 5))
    made = {job_id: (await found(queue, job_id)).attempts_made for job_id in ("1", "node", "2", "3", "4")}
    assert made == {"1": 1, "node": 4, "2": 2, "3": 4, "4": 3}


async def test_a_job_that_says_nothing_of_attempts_waits_as_the_settings_say(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    async def fail(job: Job) -> None:
        raise ValueError(job.name)

    await queue.configure(attempts=2, backoff=Backoff("fixed", 3600))
    await start_worker(fail)
    await queue.add("unsaid", 1)
    await queue.add("said", 1, attempts=2)
    await until(lambda: failed(queue, 1))
    assert (await found(queue, "2")).name == "said"
    due_ms = (await queue.redis.zscore(queue.keys.delayed, "1")) / 4096
    assert due_ms / 1000 - time.time() > 3000


async def test_without_settings_a_job_that_says_nothing_has_what_our_producers_write(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    job = await queue.add("n", 1)
    assert job.attempts == 3
    await queue.redis.hset(queue.keys.job(job.id), "opts", json.dumps({**job.opts, "backoff": 1}))
    await start_worker(told)
    await until(lambda: failed(queue, 1))
    assert (await found(queue, job.id)).failed_reason == "3 of 3"


@pytest.mark.parametrize(("execution", "said"), [(None, {}), ("process", {}), (None, {"attempts": 5})])
async def test_a_running_job_tells_how_many_attempts_it_will_have(
    queue: Queue, start_worker: Any, until: Any, execution: str | None, said: dict[str, int]
) -> None:
    await queue.configure(attempts=2, backoff=Backoff("fixed", 0))
    job = await queue.add("n", 1)
    # as a BullMQ client adds it
    await queue.redis.hset(queue.keys.job(job.id), "opts", json.dumps(said))
    await start_worker(attempts_told if execution else told, execution=execution)
    await until(lambda: failed(queue, 1))
    attempts = said.get("attempts", 2)
    ended = await found(queue, job.id)
    assert (ended.failed_reason, ended.attempts_made) == (f"{attempts} of {attempts}", attempts)


async def told(job: Job) -> None:
    raise ValueError(f"{job.attempts_made + 1} of {job.attempts}")


async def failed(queue: Queue, count: int) -> bool:
    return (await queue.metrics()).failed == count


async def found(queue: Queue, job_id: str) -> Job:
    job = await queue.get_job(job_id)
    assert job is not None
    return job


async def test_configure_counts_and_refuses_a_bad_value_without_a_change(queue: Queue) -> None:
    assert [await queue.configure(concurrency=5), await queue.configure(paused=True)] == [1, 2]
    assert await queue.configure(generation=40, concurrency=6) == 40
    with pytest.raises(InvalidOption, match="concurrency 0 must be an integer of 1 or more"):
        await queue.configure(concurrency=0)
    with pytest.raises(InvalidOption, match="no setting is called speed"):
        await queue.configure(speed=5)
    stored = await queue.redis.get("bull-crewline:emails:settings")
    assert json.loads(stored) == {"generation": 40, "concurrency": 6}


async def test_an_obliterated_queue_has_no_settings(queue: Queue) -> None:
    await queue.configure(concurrency=5)
    await queue.pause()
    await queue.obliterate()
    assert await queue.redis.keys("*") == []
