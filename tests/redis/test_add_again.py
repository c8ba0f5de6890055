"""Adding what is there already: the job that is returned tells what is stored, and that nothing was added."""

from __future__ import annotations

import asyncio

from crewline import Dedup, Queue
from crewline import sync as blocking


async def test_a_known_id_returns_the_stored_job_and_says_that_nothing_was_added(queue: Queue) -> None:
    first = await queue.add("n", {"v": 1}, job_id="order-1", attempts=5, priority=7)
    again = await queue.add("other", {"v": 2}, job_id="order-1")
    assert first.added and not again.added
    assert (again.id, again.name, again.data, again.priority, again.attempts) == ("order-1", "n", {"v": 1}, 7, 5)
    assert again.timestamp_ms > 0


async def test_a_deduplicated_add_returns_the_job_that_stands_for_it(queue: Queue) -> None:
    first = await queue.add("n", {"v": 1}, dedup="once")
    again = await queue.add("n", {"v": 2}, dedup=Dedup("once"))
    assert (again.id, again.data, again.added) == (first.id, {"v": 1}, False)
    replaced = await queue.add("n", 3, delay=60, dedup=Dedup("late", replace=True))
    last = await queue.add("n", 4, delay=60, dedup=Dedup("late", replace=True))
    assert replaced.added and last.added and last.data == 4


async def test_a_bulk_says_of_each_job_whether_it_was_added(queue: Queue) -> None:
    known = {n * 7 for n in range(60)}
    await queue.add_bulk([("old", {"old": n}, {"job_id": f"j{n}"}) for n in sorted(known)])
    jobs = await queue.add_bulk([("new", {"new": n}, {"job_id": f"j{n}"}) for n in range(650)])
    assert [job.id for job in jobs] == [f"j{n}" for n in range(650)]
    assert {n for n, job in enumerate(jobs) if not job.added} == known
    assert all(job.data == ({"old": n} if n in known else {"new": n}) for n, job in enumerate(jobs))


async def test_a_known_job_whose_data_nobody_can_read_is_returned_as_its_text(queue: Queue) -> None:
    await queue.add("n", 1, job_id="broken")
    await queue.redis.hset(queue.keys.job("broken"), "data", b"{oops")
    again = await queue.add("n", 2, job_id="broken")
    assert (again.data, again.added) == ("{oops", False)


async def test_the_blocking_face_says_it_as_well(redis_url: str, queue: Queue) -> None:
    await queue.add("n", 1, job_id="order-1")

    def add() -> list[tuple[object, bool]]:
        with blocking.Queue("emails", redis=redis_url) as opened:
            jobs = [opened.add("n", 2, job_id="order-1"), *opened.add_bulk([("n", 3), ("n", 4, {"job_id": "order-1"})])]
            return [(job.data, job.added) for job in jobs]

    assert await asyncio.to_thread(add) == [(1, False), (3, True), (1, False)]
