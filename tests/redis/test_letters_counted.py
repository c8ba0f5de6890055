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


async def _write(queue: Queue, count: int) -> None:
    """That many letters, as a worker writes them; each is of a job of its own."""
    letters = queue.beside("emails-dlq")
    await letters.add_bulk(
        ("n", {"queue": "emails", "jobId": f"job-{n}", "data": n, "options": {}}) for n in range(count)
    )


async def _calls(queue: Queue, command: str) -> int:
    return int((await queue.redis.info("commandstats")).get(f"cmdstat_{command}", {}).get("calls", 0))


async def test_the_newest_letters_are_read_without_the_others(queue: Queue) -> None:
    await _write(queue, 2500)
    await queue.redis.config_resetstat()
    assert [letter.data for letter in await DeadLetters(queue).list(30)] == list(range(2499, 2469, -1))
    assert await _calls(queue, "lrange") == 1 and await _calls(queue, "hget") <= 60


async def test_no_call_reads_all_letters_at_once_and_none_is_passed_over(queue: Queue) -> None:
    await _write(queue, 2500)
    await queue.beside("emails-dlq").add_bulk([("no letter", n) for n in range(5)])
    await queue.redis.config_resetstat()
    letters = DeadLetters(queue)
    assert [letter.data for letter in await letters.list(5000)] == list(range(2499, -1, -1))
    assert await _calls(queue, "lrange") > 2
    assert await letters.replay_all(2400) == 2400
    assert [letter.data for letter in await letters.list(5000)] == list(range(2499, 2399, -1))
    assert await letters.replay_all() == 100
    assert (await queue.metrics()).waiting == 2500 and await letters.count() == 5
