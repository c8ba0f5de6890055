"""What a JobQueue's workers follow, through a real Redis: written, read, followed by workers, kept at zero."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from crewline import Job, Keep, Queue
from crewline.wire.settings import Settings
from crewline_operator.effects.actions import Sweep, WriteSettings
from crewline_operator.jobqueue.live import live_step, settings_text
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.fault import Fault
from crewline_operator.model.note import Note
from crewline_operator.model.worker import Worker
from crewline_operator.redis.counts import SETTINGS_MAX_BYTES
from crewline_operator.redis.reading import Reading, Snapshot
from crewline_operator.redis.snapshot import read_snapshots
from crewline_operator.redis.workers import read_workers

from tests.redis.test_operator_executor import EMAILS, REF, Operator, operator, stranger
from tests.unit.operator.factories import ME, jobqueue, observed

__all__ = ["operator", "stranger"]

Until = Callable[..., Awaitable[Any]]
KEY = "bull-crewline:emails:settings"


async def read(queue: Queue, spec: JobQueue) -> Snapshot:
    found = (await read_snapshots(queue.redis, [spec.target]))[spec.target]
    assert isinstance(found, Snapshot)
    return found


async def reconcile(operator: Operator, queue: Queue, spec: JobQueue) -> int:
    """Write what is missing; how many writes that took."""
    seen = observed(reading=Reading(snapshot=await read(queue, spec)))
    step = live_step(spec, seen)
    await operator.do(*step.actions)
    return len(step.actions)


async def claim(queue: Queue) -> None:
    await queue.redis.set("bull-crewline:emails:claim", ME.encode(), ex=60)


async def test_what_is_written_is_read_and_written_no_second_time(operator: Operator, queue: Queue) -> None:
    await claim(queue)
    spec = jobqueue(limits={"concurrency": 5, "rate": {"max": 7, "perSeconds": 3}}, retention={"failed": {"count": 9}})
    assert [await reconcile(operator, queue, spec) for _ in range(3)] == [1, 0, 0]
    assert await queue.settings() == Settings(4, concurrency=10, keep_failed=Keep(count=9))
    meta = await queue.redis.hgetall(queue.keys.meta)
    assert meta == {b"concurrency": b"5", b"max": b"7", b"duration": b"3000"}

    await queue.set_global_concurrency(8)
    assert await reconcile(operator, queue, spec) == 1
    assert (await read(queue, spec)).limits.at_once == 5, "what the spec names is kept so"
    await queue.set_global_rate(99)
    assert [await reconcile(operator, queue, jobqueue()) for _ in range(2)] == [1, 0]
    meta = await queue.redis.hgetall(queue.keys.meta)
    assert meta == {b"max": b"99", b"duration": b"1000"}, "what somebody else has set stays"


async def test_a_limit_that_is_lifted_wakes_the_workers_that_were_idle_for_it(
    operator: Operator, queue: Queue, start_worker: Any, until: Until
) -> None:
    started, go_on = list[str](), asyncio.Event()

    async def handle(job: Job) -> None:
        started.append(job.id)
        await go_on.wait()

    await claim(queue)
    await reconcile(operator, queue, jobqueue(limits={"concurrency": 1}))
    await queue.add_bulk(("n", number) for number in range(4))
    await start_worker(handle)
    await until(lambda: len(started) == 1)
    await reconcile(operator, queue, jobqueue())
    await until(lambda: len(started) == 4, 1.0)
    go_on.set()


async def test_workers_follow_a_spec_and_are_seen_to_do_so(
    operator: Operator, queue: Queue, start_worker: Any, until: Until
) -> None:
    async def handle(job: Job) -> None: ...

    async def seen() -> Worker:
        return (await read_workers(queue, ["pod-1"]))["pod-1"]

    async def follows() -> bool:
        return (await seen()).settings == 4

    await claim(queue)
    worker = await start_worker(handle, worker_id="pod-1", concurrency=3)
    assert (await seen()).settings == 0
    spec = {"worker": {"handler": "h:h", "concurrency": 12, "timeoutSeconds": 60}}
    await reconcile(operator, queue, jobqueue(**spec))
    await until(follows, 3.0)
    assert worker.concurrency == 12
    # as a newer operator may write what this worker does not understand
    await queue.redis.set(KEY, json.dumps({"generation": 4, "concurrency": "many"}))

    async def refuses() -> bool:
        return (await seen()).settings is None

    await until(refuses, 3.0)
    assert worker.concurrency == 12


async def test_the_retention_of_a_spec_is_kept_where_there_is_no_worker(
    operator: Operator, queue: Queue, start_worker: Any, until: Until
) -> None:
    async def handle(job: Job) -> None: ...

    worker = await start_worker(handle)
    # as BullMQ's clients add jobs: without a word of how long they stay
    jobs = [await queue.add("n", number, remove_on_complete=False) for number in range(3)]
    for job in jobs:
        await job.result(timeout=5)
        await queue.redis.hset(queue.keys.job(job.id), "opts", "{}")
    await worker.stop()
    await claim(queue)
    await reconcile(operator, queue, jobqueue(retention={"completed": {"count": 1}}))
    # nobody has just swept
    await queue.redis.delete(*await queue.redis.keys("bull-crewline:emails:*sweep*") or ["none"])
    await operator.do(Sweep(REF))
    assert await queue.redis.zcard(queue.keys.completed) == 1


async def test_what_is_too_long_to_be_ours_is_written_anew(operator: Operator, queue: Queue) -> None:
    await claim(queue)
    await queue.redis.set(KEY, settings_text(jobqueue()) + " " * 10 * SETTINGS_MAX_BYTES)
    assert len((await read(queue, jobqueue())).settings or "") == SETTINGS_MAX_BYTES
    assert [await reconcile(operator, queue, jobqueue()) for _ in range(2)] == [1, 0]


async def test_a_key_of_another_type_is_the_fault_of_its_queue(operator: Operator, queue: Queue) -> None:
    await queue.redis.rpush(KEY, "x")
    target = jobqueue().target
    found = (await read_snapshots(queue.redis, [target]))[target]
    assert isinstance(found, Fault) and KEY in found.message


async def test_a_full_redis_takes_settings(operator: Operator, queue: Queue) -> None:
    """They may end work, as a pause does."""
    await queue.redis.config_set("maxmemory", 1)
    try:
        await operator.do(WriteSettings(REF, "{}", {"concurrency": 5}))
    finally:
        await queue.redis.config_set("maxmemory", 0)
    assert operator.executor.done(EMAILS).settings_denied is None
    assert await queue.redis.exists(KEY) == 1


async def test_settings_that_redis_does_not_take_are_told_and_do_not_hold_up_what_comes_after(
    operator: Operator, queue: Queue, caplog: Any
) -> None:
    caplog.set_level("INFO", "crewline_operator")
    write = WriteSettings(REF, "{}", {"concurrency": 5})
    await queue.redis.execute_command("ACL", "SETUSER", "default", "-set")
    try:
        for _ in range(2):
            await operator.do(write, Note("Normal", "ComesAfter", "what is in the same plan"))
    finally:
        await queue.redis.execute_command("ACL", "SETUSER", "default", "+set")
    assert await queue.redis.exists(KEY) == 0
    denied = operator.executor.done(EMAILS).settings_denied
    assert denied is not None and denied.fault.reason == "RedisPermissionDenied"
    assert denied.fault.message.startswith(
        "what the workers are to follow can't be written: Redis of JobQueue 'emails' "
    )
    assert operator.again == [EMAILS], "so that it is told, which it is once"
    assert caplog.text.count("ComesAfter") == 2
    await operator.do(write)
    assert operator.executor.done(EMAILS).settings_denied is None
