"""Scripts that add jobs."""

from __future__ import annotations

import contextlib
from typing import Any

from crewline import Dedup, FlowJob, Queue
from crewline.queue.dead_letters import DeadLetters
from crewline.redis.scripts import Result
from crewline.wire.options import encode_job

from .base import HUGE, LARGE, LEASE_MS, ended, fetch, huge, scenario, tree


@scenario("add_jobs: 200, prioritized")
async def _(queue: Queue) -> Any:
    return lambda: queue.add_bulk([("n", "x" * 500, {"priority": n % 9}) for n in range(200)])


@scenario("add_jobs: 2,000")
async def _(queue: Queue) -> Any:
    return lambda: queue.add_bulk([("n", {"to": f"user{n}@example.com"}) for n in range(2000)])


@scenario("add_jobs: 200 of 20 kB")
async def _(queue: Queue) -> Any:
    return lambda: queue.add_bulk([("n", LARGE)] * 200)


@scenario("add_jobs: 3 of 1 MiB among 200")
async def _(queue: Queue) -> Any:
    return lambda: queue.add_bulk([("n", "x" if n % 70 else HUGE) for n in range(200)])


@scenario("add_jobs: 50 that replace delayed ones")
async def _(queue: Queue) -> Any:
    def jobs() -> list[Any]:
        return [("n", n, {"delay": 60, "dedup": Dedup(f"d{n}", 60, True, True)}) for n in range(200)]

    await queue.add_bulk(jobs())
    return lambda: queue.add_bulk(jobs())


@scenario("add_jobs: 50 that replace delayed ones of 1 MiB")
async def _(queue: Queue) -> Any:
    def jobs(data: str) -> list[Any]:
        return [("n", data, {"delay": 60, "dedup": Dedup(f"d{n}", 60, True, True)}) for n in range(50)]

    await queue.add_bulk(jobs(HUGE))
    return lambda: queue.add_bulk(jobs(""))


@scenario("add_flow, release_flow: a tree of 2,000")
async def _(queue: Queue) -> Any:
    return lambda: tree(queue, 2000)


@scenario("add_flow, release_flow: a tree of 100 of 20 kB")
async def _(queue: Queue) -> Any:
    return lambda: tree(queue, 100, LARGE)


@scenario("add_flow, release_flow: a tree of 3 of 1 MiB")
async def _(queue: Queue) -> Any:
    return lambda: tree(queue, 3, HUGE)


@scenario("add_flow, release_flow: a tree of 300 that replace others")
async def _(queue: Queue) -> Any:
    return await replacing(queue, 300, 1)


@scenario("add_flow, release_flow: a tree of 100 that replace others of 1 MiB")
async def _(queue: Queue) -> Any:
    return await replacing(queue, 100, HUGE)


@scenario("give_up_flow: half of a tree of 1,000 that were to replace others")
async def _(queue: Queue) -> Any:
    await delayed(queue, 1000, 1)
    return await half_a_tree(queue, 1000, "x" * 500, 5)


@scenario("give_up_flow: half of a tree of 1,000, with deduplication ids")
async def _(queue: Queue) -> Any:
    return await half_a_tree(queue, 1000, "x" * 500, 5)


@scenario("give_up_flow: half of a tree of 120 of 1 MiB")
async def _(queue: Queue) -> Any:
    return await half_a_tree(queue, 120, HUGE, 60)


async def replacing(queue: Queue, count: int, data: Any) -> Any:
    await delayed(queue, count, data)
    leaves = [FlowJob("leaf", 1, options={"dedup": Dedup(f"d{n}", replace=True)}) for n in range(count)]
    return lambda: queue.add_flow(FlowJob("root", children=leaves))


async def delayed(queue: Queue, count: int, data: Any) -> None:
    await queue.add_bulk(("n", data, {"delay": 600, "dedup": f"d{n}"}) for n in range(count))


async def half_a_tree(queue: Queue, count: int, data: str, calls: int) -> Any:
    call = queue.scripts.call
    made = 0

    async def dies(name: str, *arguments: Any) -> Any:
        nonlocal made
        made += 1
        if made > calls:
            raise ConnectionError
        return await call(name, *arguments)

    queue.scripts.call = dies  # type: ignore[method-assign]
    leaves = [FlowJob("leaf", data, options={"dedup": Dedup(f"d{n}", replace=True)}) for n in range(count)]
    with contextlib.suppress(ConnectionError):
        await queue.add_flow(FlowJob("root", children=leaves))
    del queue.scripts.call
    return lambda: queue.settle_flows(older_than=0)


@scenario("upsert_schedule, continue_schedule, remove_schedule")
async def _(queue: Queue) -> Any:
    return lambda: schedule(queue, 1)


@scenario("upsert_schedule, continue_schedule, remove_schedule: 1 MiB")
async def _(queue: Queue) -> Any:
    return lambda: schedule(queue, HUGE)


async def schedule(queue: Queue, data: Any) -> None:
    first = await queue.schedule("s", "n", data, every=3600)
    await queue.schedule("s", "n", data, every=3600, attempts=7)
    await queue.schedules.advance("s", first, {})
    await queue.schedules.remove("s")


@scenario("add_run, take_back_run")
async def _(queue: Queue) -> Any:
    return lambda: runs(queue, 1)


@scenario("add_run, take_back_run: 1 MiB")
async def _(queue: Queue) -> Any:
    return lambda: runs(queue, HUGE)


async def runs(queue: Queue, data: Any) -> None:
    soon = await queue.scripts.read_clock() + 3_600_000
    job = encode_job("n", data)
    for run_ms in (soon, soon + 1, 1):
        await queue.scripts.add_run("uid", run_ms, "{}", "digest", job)
    await queue.scripts.take_back_run("uid", True)


@scenario("replay_dead_letter: with 1,000 old ones to prune")
async def _(queue: Queue) -> Any:
    letters = Queue("bench-dlq", redis=queue.redis)
    await ended(letters, "completed", 1200)
    await letter(queue, letters, 1)
    return DeadLetters(queue).replay_all


@scenario("replay_dead_letter: 1 MiB, of a job that is gone, with old ones of 1 MiB to prune")
async def _(queue: Queue) -> Any:
    letters = Queue("bench-dlq", redis=queue.redis)
    await huge(letters, "completed", 120)
    await letter(queue, letters, HUGE, keep="0")
    return DeadLetters(queue).replay_all


async def letter(queue: Queue, letters: Queue, data: Any, keep: str = "") -> None:
    await queue.add("n", data)
    await fetch(queue)
    failed = Result("1", "t", "failed", "torn", keep_failed=keep)
    await queue.scripts.finish_and_fetch(
        [failed], letters=letters.keys.base, token="t", lease_ms=LEASE_MS, worker="w", room=0
    )
