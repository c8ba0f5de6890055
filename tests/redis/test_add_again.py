"""Adding what is there already: the job that is returned tells what is stored, and that nothing was added."""

from __future__ import annotations

import asyncio

import pytest
from crewline import Dedup, FlowJob, Queue
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


@pytest.mark.parametrize("leaves", [3, 230])
async def test_a_flow_says_of_each_job_whether_it_was_added_in_whatever_queue(queue: Queue, leaves: int) -> None:
    known = {leaves - 1, leaves - 2}
    for n in known:
        await queue.beside("other" if n % 2 else "emails").add("old", {"old": n}, job_id=f"j{n}", attempts=9)
    await queue.add("root", {"old": "root"}, job_id="root")
    children = [
        FlowJob("new", {"new": n}, queue="other" if n % 2 else None, options={"job_id": f"j{n}"}) for n in range(leaves)
    ]
    flow = await queue.add_flow(FlowJob("root", {"new": "root"}, children=children, options={"job_id": "root"}))
    assert (flow.job.id, flow.job.data, flow.job.added) == ("root", {"old": "root"}, False)
    told = [(node.job.id, node.job.queue_name, node.job.data, node.job.added) for node in flow.children]
    assert told == [
        (f"j{n}", "other" if n % 2 else "emails", {"old" if n in known else "new": n}, n not in known)
        for n in range(leaves)
    ]
    assert flow.children[-1].job.attempts == 9


@pytest.mark.parametrize("leaves", [2, 230])
async def test_a_flow_returns_the_job_that_stands_for_one_of_it_and_none_below_that(queue: Queue, leaves: int) -> None:
    held = await queue.add("n", {"v": 1}, dedup="x", delay=60)
    below = [FlowJob("leaf", n, children=[FlowJob("deep")]) for n in range(leaves)]
    flow = await queue.add_flow(
        FlowJob(
            "root", children=[FlowJob("middle", {"v": 2}, children=below, options={"dedup": "x"}), FlowJob("other")]
        )
    )
    middle, other = flow.children
    assert (middle.job.id, middle.job.name, middle.job.data, middle.job.added) == (held.id, "n", {"v": 1}, False)
    assert middle.children == [] and other.job.added and await other.job.state() == "waiting"


async def test_a_flow_whose_root_another_stands_for_is_that_one_alone(queue: Queue) -> None:
    held = await queue.add("n", 1, dedup="x")
    flow = await queue.add_flow(FlowJob("root", children=[FlowJob("leaf")], options={"dedup": "x"}))
    assert (flow.job.id, flow.job.added, flow.children) == (held.id, False, [])


async def test_the_blocking_face_says_it_as_well(redis_url: str, queue: Queue) -> None:
    await queue.add("n", 1, job_id="order-1")

    def add() -> list[tuple[object, bool]]:
        with blocking.Queue("emails", redis=redis_url) as opened:
            jobs = [opened.add("n", 2, job_id="order-1"), *opened.add_bulk([("n", 3), ("n", 4, {"job_id": "order-1"})])]
            return [(job.data, job.added) for job in jobs]

    assert await asyncio.to_thread(add) == [(1, False), (3, True), (1, False)]
