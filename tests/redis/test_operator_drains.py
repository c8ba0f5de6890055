"""How the operator asks real workers to drain and reads their answers: each step on Redis as a plan relies on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from crewline import Job, Queue
from crewline_operator.effects.actions import Drain, Undrain
from crewline_operator.model.note import Note
from crewline_operator.model.worker import Worker
from crewline_operator.redis.workers import read_workers

from tests.redis.test_operator_executor import EMAILS, REF, Operator, operator, stranger
from tests.unit.operator.factories import jobqueue_object

__all__ = ["operator", "stranger"]

Until = Callable[..., Awaitable[Any]]
AFTER = Note("Normal", "ComesAfter", "what relies on the requests")


async def nothing(job: Job) -> None: ...


def reads(queue: Queue, worker_id: str, wanted: Worker) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return (await read_workers(queue, [worker_id]))[worker_id] == wanted

    return look


async def test_a_workers_answer_is_read_for_the_request_that_holds(
    operator: Operator, queue: Queue, start_worker: Any, until: Until
) -> None:
    end = asyncio.Event()

    async def handle(job: Job) -> None:
        await end.wait()

    await start_worker(handle, worker_id="pod-1", concurrency=1)
    job = await queue.add("n", 1)
    await until(reads(queue, "pod-1", Worker(known=True, busy=1, held=1)))
    await operator.do(Drain(REF, ("pod-1", "pod-2")))
    tokens = await queue.drains(["pod-1", "pod-2"])
    await until(reads(queue, "pod-1", Worker(tokens["pod-1"], known=True, follows=True, busy=1, held=1)))
    assert await reads(queue, "pod-2", Worker(tokens["pod-2"]))(), "it is asked before it begins"
    end.set()
    await job.result(timeout=5)
    await until(reads(queue, "pod-1", Worker(tokens["pod-1"], known=True, follows=True)))

    await operator.do(Undrain(REF, ("pod-1", "pod-2")))
    assert await queue.drains(["pod-1", "pod-2"]) == {}
    assert not (await read_workers(queue, ["pod-1"]))["pod-1"].follows, "what it said was of the earlier request"
    await operator.do(Drain(REF, ("pod-1",)))
    assert not (await read_workers(queue, ["pod-1"]))["pod-1"].follows
    await operator.do(Undrain(REF, ("pod-1",)))


async def test_what_relies_on_requests_is_not_done_unless_they_have_held_all_the_time(
    operator: Operator, queue: Queue, caplog: Any
) -> None:
    caplog.set_level("INFO", "crewline_operator")
    await operator.do(Drain(REF, ("pod-1", "pod-2")))
    tokens = await queue.drains(["pod-1", "pod-2"])
    both = [Drain(REF, tuple(tokens), tokens), AFTER]
    assert await operator.executor.carry_out(EMAILS, jobqueue_object(), both)
    assert caplog.text.count("ComesAfter") == 1

    await queue.undrain_workers(["pod-2"])
    operator.again.clear()
    assert await operator.executor.carry_out(EMAILS, jobqueue_object(), both) is False
    assert operator.again == [EMAILS] and caplog.text.count("ComesAfter") == 1
    await queue.undrain_workers(["pod-1", "pod-2"])


async def test_what_redis_does_not_take_is_remembered_and_tried_again_after_longer_and_longer(
    operator: Operator, queue: Queue
) -> None:
    tokens = await queue.drain_workers(["pod-1"])
    asked, holding = Drain(REF, ("pod-1", "pod-2")), Drain(REF, ("pod-1", "pod-2"), tokens | {"pod-2": "t"})
    done = operator.executor.done
    await queue.redis.execute_command("ACL", "SETUSER", "default", "-set", "-del")
    try:
        await operator.do(asked)
        denied = done(EMAILS).drain_denied
        assert denied is not None and denied.fault.reason == "RedisPermissionDenied"
        assert denied.fault.message.startswith("workers can't be asked to drain: Redis of JobQueue 'emails' ")
        assert operator.delays == [], "nothing relies on it"
        for _ in range(4):
            await operator.do(holding)
        await operator.do(Undrain(REF, ("pod-1",)))
        denied = done(EMAILS).drain_denied
        assert denied is not None and denied.fault.message.startswith("workers can't be let go from draining: ")
    finally:
        await queue.redis.execute_command("ACL", "SETUSER", "default", "+set", "+del")
    first, *others = operator.delays
    assert first == 0, "so that it is told"
    assert 0 < others[0] < others[1] < others[2]
    await operator.do(asked)
    assert done(EMAILS).drain_denied is None
    await operator.do(holding)
    assert operator.delays[-1] == 0, "something was done meanwhile"
    await queue.undrain_workers(["pod-1", "pod-2"])


async def test_two_workers_in_one_pod_are_both_to_answer(
    operator: Operator, queue: Queue, start_worker: Any, until: Until
) -> None:
    end = asyncio.Event()

    async def handle(job: Job) -> None:
        await end.wait()

    await start_worker(handle, worker_id="pod-1", concurrency=1)
    await queue.add("n", 1)
    await until(reads(queue, "pod-1", Worker(known=True, busy=1, held=1)))
    await start_worker(nothing, worker_id="pod-1")
    token = (await queue.drain_workers(["pod-1"]))["pod-1"]
    await until(reads(queue, "pod-1", Worker(token, known=True, follows=True, busy=1, held=1)))
    end.set()
    await until(reads(queue, "pod-1", Worker(token, known=True, follows=True)))


async def test_an_entry_that_tells_no_numbers_counts_as_busy(queue: Queue) -> None:
    entry = queue.keys.extra("worker:w")
    await queue.redis.zadd(queue.keys.extra("workers"), {"w": 1})
    await queue.redis.set(entry, '{"id": "pod-1", "drain": ["t"], "held": "0"}')
    assert await read_workers(queue, ["pod-1"]) == {"pod-1": Worker(known=True, busy=1, held=1, settings=None)}
    await queue.redis.delete(entry, queue.keys.extra("workers"))


async def test_an_entry_of_a_release_without_drains_tells_nothing(queue: Queue) -> None:
    entry = queue.keys.extra("worker:w")
    await queue.redis.zadd(queue.keys.extra("workers"), {"w": 1})
    await queue.redis.set(entry, '{"id": "pod-1", "busy": 0}')
    found = (await read_workers(queue, ["pod-1"]))["pod-1"]
    assert not found.known and not found.follows
    await queue.redis.delete(entry, queue.keys.extra("workers"))
