"""Calls that touch all that they can touch, each on a queue made for it; see test_refused_calls.py."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

from crewline import Dedup, FlowJob, Queue
from crewline.redis.scripts import Result

Call = Callable[[], Awaitable[Any]]
Case = Callable[[Queue], Awaitable[Call]]

LETTERS = "bull:emails-dlq:"


async def fetch(queue: Queue, room: int, **told: Any) -> list[str]:
    asked = {"token": "t", "letters": LETTERS, "lease_ms": 60_000, "worker": "w", "points": 5} | told
    fetched = await queue.scripts.finish_and_fetch(asked.pop("results", []), room=room, **asked)
    return [job.id for job in fetched.jobs]


async def fetches_from_wherever_jobs_are(queue: Queue) -> Call:
    await queue.add_bulk(("n", n, {"job_id": f"w{n}"}) for n in range(3))
    await queue.add_bulk(("n", n, {"job_id": f"p{n}", "priority": 1}) for n in range(3))
    await queue.add_bulk(("n", n, {"job_id": f"d{n}", "delay": 0.001, "priority": n}) for n in range(2))
    await queue.redis.hset(queue.keys.job("w1"), "suspect", 1)
    await queue.redis.hset(queue.keys.extra("passed"), mapping={"wait": "w0", "at": 1})
    await queue.redis.hset(queue.keys.meta, mapping={"max": 5, "duration": 60_000})
    return lambda: fetch(queue, 5, unread_ms=1000, suspects=0)


async def fetches_again_what_an_answer_was_lost_for(queue: Queue) -> Call:
    await queue.add_bulk(("n", n) for n in range(3))
    await fetch(queue, 2)
    return lambda: fetch(queue, 2, again=1)


async def settles_results_of_all_kinds(queue: Queue) -> Call:
    ids = ["a", "b", "c", "d", "e", "f"]
    await queue.add_flow(
        FlowJob("parent", options={"job_id": "parent"}, children=[
            FlowJob("n", options={"job_id": "a", "dedup": "x"}),
            FlowJob("n", options={"job_id": "b"}, on_failure="fail"),
        ])
    )  # fmt: skip
    last = Dedup("y", keep_last_if_active=True)
    kinds: dict[str, dict[str, Any]] = {"c": {"dedup": last}}
    await queue.add_bulk(("n", 1, {"job_id": each, "priority": 1} | kinds.get(each, {})) for each in ids[2:])
    assert set(await fetch(queue, 6)) == set(ids)
    await queue.add("n", 1, dedup=last)
    await queue.cancel("d")
    await queue.add_bulk(("n", n) for n in range(3))
    outcomes = ("completed", "failed", "failed", "retry", "back", "retry")
    results = [
        Result(job_id, "t", outcome, '"why"', trace="torn", keep_completed="=1000,86400", keep_failed="1000,86400",
               delay_ms=1000 * (job_id == "f"), suspect=job_id == "c")
        for job_id, outcome in zip(ids, outcomes, strict=True)
    ]  # fmt: skip
    return lambda: fetch(queue, 2, results=results)


async def adds_jobs(queue: Queue) -> Call:
    await queue.add("n", 1, job_id="known")
    await queue.add("n", 1, job_id="held", delay=60, dedup=Dedup("x", 60))
    await queue.add("n", 1, job_id="running", dedup=Dedup("y"))
    await fetch(queue, 2)
    await queue.pause()
    jobs = [
        ("n", 1), ("n", 1, {"priority": 1}), ("n", 1, {"delay": 60}), ("n", 1, {"job_id": "known"}),
        ("n", 1, {"dedup": Dedup("x", 60, replace=True)}), ("n", 1, {"dedup": Dedup("y", keep_last_if_active=True)}),
        ("n", 1, {"job_id": "chosen", "dedup": Dedup("z")}), ("n", 1),
    ]  # fmt: skip
    return lambda: queue.add_bulk(jobs)


def tree(leaves: int = 3) -> FlowJob:
    kinds: list[dict[str, Any]] = [{}, {"priority": 1}, {"delay": 60}, {}, {"job_id": "known"}]
    kinds[3] = {"dedup": Dedup("x", 60, replace=True)}
    kinds += [{"lifo": True}] * (leaves - 5)
    return FlowJob("n", options={"job_id": "root"}, children=[
        FlowJob("n", options={"job_id": f"leaf{n}", **kinds[n]}) for n in range(leaves)
    ])  # fmt: skip


async def adds_a_flow(queue: Queue) -> Call:
    await queue.add("n", 1, job_id="known")
    return lambda: queue.add_flow(tree(5))


async def held_flow(queue: Queue) -> None:
    """A large tree whose producer dies before its second part; the first is to replace a delayed job."""
    await queue.add("n", 1, job_id="held", delay=60, dedup="x")
    part = queue.scripts.call
    parts = 0

    async def dies(name: str, *told: Any) -> Any:
        nonlocal parts
        parts += 1
        if parts > 1:
            raise ConnectionError
        return await part(name, *told)

    queue.scripts.call = dies  # type: ignore[method-assign]
    with contextlib.suppress(ConnectionError):
        await queue.add_flow(tree(120))
    del queue.scripts.call


async def adds_a_part_of_a_flow(queue: Queue) -> Call:
    await held_flow(queue)
    below = '{"parentKey": "bull:emails:root", "parent": "{}"}'
    jobs = [(queue.keys.base, f"more{n}", "n", "1", "{}", "0", "0", "", below) for n in range(3)]
    return lambda: queue.scripts.call("add_flow", "root", "", "", *itertools.chain.from_iterable(jobs))


async def releases_a_flow(queue: Queue) -> Call:
    await held_flow(queue)
    return lambda: queue.scripts.release_flow("root")


async def gives_a_flow_up(queue: Queue) -> Call:
    await held_flow(queue)
    return lambda: queue.scripts.give_up_flow("root", 2**52)


CASES: tuple[Case, ...] = (
    fetches_from_wherever_jobs_are,
    fetches_again_what_an_answer_was_lost_for,
    settles_results_of_all_kinds,
    adds_jobs,
    adds_a_flow,
    adds_a_part_of_a_flow,
    releases_a_flow,
    gives_a_flow_up,
)
