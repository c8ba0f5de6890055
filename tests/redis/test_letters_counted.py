"""How many dead letters there are, as `Queue.metrics` and `DeadLetters.count` tell it."""

from __future__ import annotations

from typing import Any

from crewline import DeadLetters, Job, Queue


async def test_letters_that_bullmq_5_has_parked_are_counted_by_both(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    async def fail(job: Job) -> None:
        raise ValueError("no")

    await start_worker(fail)
    await queue.add("n", 1, attempts=1)
    letters = DeadLetters(queue)
    await until(letters.count)
    parked = queue.beside(queue.dead_letter_queue).keys
    await queue.redis.rename(parked.wait, parked.paused)
    assert ((await queue.metrics()).dead, await letters.count()) == (1, 1)


async def test_a_queue_that_writes_no_letters_has_none(queue: Queue, start_worker: Any, until: Any) -> None:
    async def fail(job: Job) -> None:
        raise ValueError("no")

    async with Queue("orders", redis=queue.url, dead_letter_queue="") as orders:
        await start_worker(fail, queue="orders", dead_letter_queue="")
        job = await orders.add("n", 1, attempts=1)
        await until(lambda: _failed(job))
        assert (await orders.metrics()).dead == 0
        assert not await orders.redis.exists(orders.beside("orders-dlq").keys.wait)


async def _failed(job: Job) -> bool:
    return await job.state() == "failed"
