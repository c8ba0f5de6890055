"""Errors, names and letters that are not as one would think them."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from crewline import DeadLetters, FlowJob, InvalidOption, Job, JobFailed, LeaseLost, Queue, Retry
from redis.exceptions import ResponseError

from tests.redis import process_handlers


class Speechless(Exception):
    def __str__(self) -> str:
        raise Speechless


class Loud(Exception):
    def __str__(self) -> str:
        return "x" * 3_000_000


@pytest.mark.parametrize(
    ("error", "said", "longest"),
    [(Speechless, "Speechless", 10), (Loud, "xxx", 8100), (process_handlers.Worded, "in words of its own", 19)],
)
async def test_whatever_an_error_says_is_a_reason(
    queue: Queue, start_worker: Any, error: type[Exception], said: str, longest: int
) -> None:
    async def handle(job: Job) -> None:
        raise error

    await start_worker(handle)
    job = await queue.add("n", 1, attempts=1)
    with pytest.raises(JobFailed) as caught:
        await job.result(timeout=20)
    assert str(caught.value).startswith(said) and len(str(caught.value)) <= longest
    (letter,) = await DeadLetters(queue).list()
    assert letter.reason.startswith(said)


async def test_an_error_that_can_not_be_printed_hides_no_reason(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> None:
        raise process_handlers.untellable()

    await start_worker(handle)
    job = await queue.add("n", 1, attempts=1)
    with pytest.raises(JobFailed, match=r"^the reason"):
        await job.result(timeout=20)


async def test_a_delay_that_is_no_number_is_none(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> str:
        if job.attempts_made == 0:
            raise Retry("the reason", delay="soon")  # type: ignore[arg-type]
        return job.failed_reason or ""

    await start_worker(handle)
    job = await queue.add("n", 1, attempts=2, backoff=0)
    assert await job.result(timeout=20) == "the reason"


async def test_a_lease_that_another_run_has_lost_is_an_error_as_any(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> None:
        raise LeaseLost("another's", ("another", "token"))

    await start_worker(handle)
    job = await queue.add("n", 1, attempts=1)
    with pytest.raises(JobFailed, match="another's"):
        await job.result(timeout=20)


async def test_an_error_in_words_of_its_own_takes_no_child_down(queue: Queue, start_worker: Any) -> None:
    await start_worker(process_handlers.worded, execution="process")
    job = await queue.add("n", 1, attempts=1)
    with pytest.raises(JobFailed, match="in words of its own"):
        await job.result(timeout=30)


async def test_a_backoff_whose_type_is_no_text_is_none(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> None:
        raise ValueError("the reason")

    job = await queue.add("n", 1, attempts=2, backoff=0)
    opts = '{"attempts":2,"backoff":{"type":{},"delay":1}}'
    await queue.redis.hset(queue.keys.job(job.id), "opts", opts)
    await start_worker(handle, backoffs={"mine": lambda made, error: 0.0})
    with pytest.raises(JobFailed, match="the reason"):
        await job.result(timeout=20)


async def _add(first: int, job: Job) -> int:
    # on the loop that carries it out: a call that blocked would wait for itself
    await job.progress(first)
    return first + int(job.data)


def _hands_on(job: Job) -> Any:
    return _add(1, job)


@pytest.mark.parametrize("handler", [functools.partial(_add, 1), _hands_on])
async def test_what_is_async_below_is_awaited(queue: Queue, start_worker: Any, handler: Any) -> None:
    await start_worker(handler)
    assert await (await queue.add("n", 2, attempts=1)).result(timeout=20) == 3


async def test_a_letter_of_unreadable_data_keeps_the_beginning(queue: Queue, start_worker: Any) -> None:
    job = await queue.add("n", 1, attempts=1, delay=60)
    await queue.redis.hset(queue.keys.job(job.id), "data", b"\xff" * 300_000)
    await queue.promote(job.id)
    await start_worker(_hands_on)
    with pytest.raises(JobFailed, match="data can't be read"):
        await job.result(timeout=20)
    (letter,) = await DeadLetters(queue).list()
    assert letter.data == "?" * 8000 + "... (300000 bytes)"


async def test_a_letter_of_a_job_without_data_can_be_read_and_replayed(queue: Queue, start_worker: Any) -> None:
    job = await queue.add("n", 1, attempts=1, delay=60)
    await queue.redis.hset(queue.keys.job(job.id), "data", "")
    await queue.promote(job.id)

    async def reject(job: Job) -> None:
        raise ValueError("no")

    worker = await start_worker(reject)
    with pytest.raises(JobFailed, match="no"):
        await job.result(timeout=20)
    await worker.stop()
    (letter,) = await DeadLetters(queue).list()
    assert (letter.job_id, letter.data) == (job.id, {})
    assert await DeadLetters(queue).replay(letter.id)


async def test_letters_are_found_where_bullmq_parks_them_and_beside_what_is_none(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    fails = True

    async def handle(job: Job) -> str:
        if fails:
            raise ValueError("no")
        return "done"

    await start_worker(handle)
    jobs = [await queue.add("n", number, attempts=1) for number in range(3)]
    letters = DeadLetters(queue)

    async def dead() -> bool:
        return await letters.count() == 3

    await until(dead)
    parked = queue.beside(queue.dead_letter_queue).keys
    await queue.redis.rename(parked.wait, parked.paused)
    await queue.redis.set(parked.job("none"), "no hash")
    await queue.redis.lpush(parked.paused, "none")
    assert await letters.count() == 4
    assert sorted(letter.job_id for letter in await letters.list()) == [job.id for job in jobs]
    fails = False
    assert await letters.replay_all() == 3
    for job in jobs:
        assert await job.result(timeout=20) == "done"
    await queue.redis.lrem(parked.paused, 1, "none")
    await queue.redis.delete(parked.job("none"))


async def test_a_flow_is_added_whole_or_not_at_all(queue: Queue) -> None:
    other = queue.beside("other")
    await queue.redis.set(other.keys.wait, "no list")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await queue.add_flow(FlowJob("root", {}, children=[FlowJob("leaf", {}, queue="other")]))
    await queue.redis.delete(other.keys.wait)
    assert await queue.redis.keys("bull:*") == []


async def test_a_job_is_in_a_flow_once(queue: Queue) -> None:
    twice = FlowJob("leaf", {}, options={"job_id": "d"})
    with pytest.raises(InvalidOption, match="job_id 'd' of queue 'emails' is in this flow twice"):
        await queue.add_flow(FlowJob("root", {}, children=[FlowJob("a", {}, children=[twice]), twice]))


@pytest.mark.parametrize("wrong", ["\ud800", "a\udfff"])
async def test_a_name_that_is_no_text_is_refused_before_anything_is_sent(queue: Queue, wrong: str) -> None:
    jobs = [("n", 1)] * 450
    with pytest.raises(InvalidOption, match=r"item 450: name .* is no Unicode text"):
        await queue.add_bulk([*jobs, (wrong, 1)])
    with pytest.raises(InvalidOption, match=r"job_id .* is no Unicode text"):
        await queue.add("n", 1, job_id=wrong)
    assert (await queue.metrics()).waiting == 0


async def test_a_job_whose_letter_could_not_be_written_says_so(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> None:
        raise ValueError("no")

    parked = queue.beside(queue.dead_letter_queue).keys
    await queue.redis.set(parked.wait, "no list")
    await start_worker(handle)
    job = await queue.add("n", 1, attempts=1)
    with pytest.raises(JobFailed, match="no"):
        await job.result(timeout=20)
    said = await queue.redis.hget(queue.keys.job(job.id), "deadLetterError")
    assert said and b"WRONGTYPE" in said
    await queue.redis.delete(parked.wait, *[key async for key in queue.redis.scan_iter(f"{parked.base}*")])


async def test_a_job_whose_key_is_something_else_by_its_end_holds_up_no_other(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    gate = asyncio.Event()

    async def handle(job: Job) -> str:
        await gate.wait()
        if job.name == "torn":
            raise ValueError("torn")
        return "fine"

    jobs = await queue.add_bulk([("fine", 1), ("torn", 1), ("fine", 2), ("torn", 2), ("fine", 3), ("torn", 3)])
    worker = await start_worker(handle)
    await until(lambda: worker.running == 6)
    for job in jobs[1:3]:
        await queue.redis.set(queue.keys.job(job.id), "something else")
    gate.set()
    for job in (jobs[0], jobs[4]):
        assert await job.result(timeout=5) == "fine"
    for job in (jobs[3], jobs[5]):
        await until(lambda job=job: _delayed(job))
    await until(lambda: worker._slots.leases == {})
    assert (await queue.metrics()).active == 0
    await queue.redis.delete(*(queue.keys.job(job.id) for job in jobs[1:3]))


async def _delayed(job: Job) -> bool:
    return await job.state() == "delayed"
