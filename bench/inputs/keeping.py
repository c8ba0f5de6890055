"""Scripts that keep a whole queue in order."""

from __future__ import annotations

from typing import Any

from crewline import Dedup, Keep, Queue
from crewline.redis.scripts import Result

from .base import HUGE, WIDE, ended, fetch, finish, huge, scenario


@scenario("clean_jobs: 1,000 failed children")
async def _(queue: Queue) -> Any:
    await ended(queue, "failed", 1000)
    return lambda: queue.clean("failed")


@scenario("clean_jobs: 200 that completed, of 1 MiB")
async def _(queue: Queue) -> Any:
    await huge(queue, "completed", 200)
    return lambda: queue.clean("completed")


@scenario("clean_jobs: drain of 2,000 that wait")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"dedup": f"d{n}"}) for n in range(2000)])
    return queue.drain


@scenario("clean_jobs: drain of 80 that wait, of 1 MiB")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", HUGE)] * 80)
    return queue.drain


@scenario("clean_jobs: 200 that wait for a retry, another of 1 MiB kept until the end of each")
async def _(queue: Queue) -> Any:
    def jobs(data: str) -> list[Any]:
        return [("n", data, {"dedup": Dedup(f"d{n}", keep_last_if_active=True)}) for n in range(200)]

    await queue.add_bulk(jobs(""))
    ids = await fetch(queue, 200)
    await queue.add_bulk(jobs(HUGE))
    for start in range(0, 200, 25):
        await finish(
            queue, [Result(job_id, "t", "retry", "why", delay_ms=60_000) for job_id in ids[start : start + 25]]
        )
    return lambda: queue.clean("delayed")


@scenario("obliterate_queue")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"dedup": f"d{n}"}) for n in range(2000)])
    await ended(queue, "failed", 1000)
    for n in range(50):
        await queue.schedule(f"s{n}", "n", every=3600)
    for n in range(500):
        await queue.scripts.beat(f"w{n}", f"w{n}", 60_000, "{}", "", [])
    await queue.pause()
    return queue.obliterate


@scenario("obliterate_queue: 60 jobs and schedules of 1 MiB")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", HUGE)] * 60)
    await huge(queue, "completed", 60)
    for n in range(60):
        await queue.schedule(f"s{n}", "n", HUGE, every=3600)
    await queue.pause()
    return queue.obliterate


@scenario("pause_queue, resume_queue, limit_queue: 10,000 parked jobs")
async def _(queue: Queue) -> Any:
    await queue.redis.rpush(queue.keys.paused, *(f"parked-{n}" for n in range(10_000)))

    async def act() -> None:
        await queue.pause()
        await queue.resume()
        await queue.set_global_concurrency(5)

    return act


@scenario("sweep_jobs: 1,000 failed children")
async def _(queue: Queue) -> Any:
    await ended(queue, "failed", 1000, '{"attempts":3,"backoff":{"type":"fixed","delay":5},"removeOnFail":{"age":60}}')
    return lambda: sweep(queue)


@scenario("sweep_jobs: 200 of 1 MiB")
async def _(queue: Queue) -> Any:
    await huge(queue, "failed", 200, '{"removeOnFail":{"age":60}}')
    return lambda: sweep(queue)


@scenario("sweep_jobs: 200 with options of 100 kB")
async def _(queue: Queue) -> Any:
    await ended(queue, "failed", 200, WIDE)
    return lambda: sweep(queue)


async def sweep(queue: Queue) -> None:
    while (await queue.scripts.sweep_jobs("failed", Keep()))[1]:
        pass


@scenario("read_clock, check_rights, begin_sweep")
async def _(queue: Queue) -> Any:
    async def act() -> None:
        await queue.scripts.begin_sweep(1000)
        await queue.scripts.read_clock()
        await queue.scripts.check_rights("unused")

    return act
