"""Scripts that change single jobs, or many of a state."""

from __future__ import annotations

from typing import Any

from crewline import Queue

from .base import HUGE, LARGE, WIDE, ended, huge, scenario, tree

#: Entries of the long list in which one id is looked for.
LONG = 1_000_000


@scenario("change_delay, change_priority, retry_job, cancel_job")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"delay": 60}) for n in range(1000)])

    async def act() -> None:
        await queue.change_delay("500", 70)
        await queue.change_priority("500", 3)
        await queue.cancel("500")
        await queue.retry("500")

    return act


@scenario("promote_jobs: 200")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"delay": 60, "priority": 3}) for n in range(1000)])
    return queue.promote_all


@scenario("promote_jobs: 200 of 1 MiB")
async def _(queue: Queue) -> Any:
    await huge(queue, "delayed", 200)
    return queue.promote_all


@scenario("retry_jobs: 200")
async def _(queue: Queue) -> Any:
    await ended(queue, "failed", 1000)
    return queue.retry_all


@scenario("retry_jobs: 200 with results of 1 MiB")
async def _(queue: Queue) -> Any:
    await huge(queue, "completed", 200)
    return lambda: queue.retry_all("completed")


@scenario("retry_jobs: 200 with options of 100 kB")
async def _(queue: Queue) -> Any:
    await ended(queue, "failed", 200, WIDE)
    return queue.retry_all


@scenario("remove_job: a tree of 1,000")
async def _(queue: Queue) -> Any:
    root = await tree(queue, 1000)
    return lambda: queue.remove(root)


@scenario("remove_job: a tree of 80 of 1 MiB")
async def _(queue: Queue) -> Any:
    root = await tree(queue, 80, HUGE)
    return lambda: queue.remove(root)


@scenario("remove_job: a tree of 80, another of 20 kB kept until the end of each")
async def _(queue: Queue) -> Any:
    root = await tree(queue, 80)
    for n, leaf in enumerate(await queue.redis.lrange(queue.keys.wait, 0, -1)):
        # as BullMQ 5 has it; ours refuse a job of a flow that is to be kept
        await queue.redis.hset(queue.keys.job(leaf.decode()), "deid", f"d{n}")
        await queue.redis.hset(f"{queue.keys.base}dn:d{n}", mapping={"name": "n", "data": LARGE, "opts": "{}"})
    return lambda: queue.remove(root)


@scenario("remove_job: one that completed, with 10,000 log lines")
async def _(queue: Queue) -> Any:
    await ended(queue, "completed", 1)
    await queue.redis.rpush(queue.keys.job("old-completed-0") + ":logs", *["a line"] * 10_000)
    return lambda: queue.remove("old-completed-0")


@scenario("remove_job, cancel_job, change_priority: in a list of a million", exception=True)
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n) for n in range(3)])
    for start in range(0, LONG, 10_000):
        push = queue.redis.rpush if start % 20_000 else queue.redis.lpush
        await push(queue.keys.wait, *(f"other-{n}" for n in range(start, start + 10_000)))

    async def act() -> None:
        await queue.change_priority("1", 3)
        await queue.cancel("2")
        await queue.remove("3")

    return act
