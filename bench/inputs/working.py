"""Scripts that workers call for the jobs that they run."""

from __future__ import annotations

import json
import time
from typing import Any

from crewline import Dedup, Queue
from crewline.redis.scripts import Result
from crewline.wire.text import MOST_REASON, text
from crewline.worker.tuning import MOST_METRICS_MINUTES

from .base import HUGE, LARGE, LEASE_MS, ended, fetch, finish, huge, scenario


@scenario("finish_and_fetch: 25 completed, 25 fetched, 50 pruned")
async def _(queue: Queue) -> Any:
    return await results(queue, "completed")


@scenario("finish_and_fetch: 25 failed with letters, 25 fetched, 50 due, 50 pruned")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"delay": 0.001, "priority": 3}) for n in range(1000)])
    return await results(queue, "failed")


async def results(queue: Queue, outcome: str) -> Any:
    await queue.add_bulk([("n", "x" * 500) for _ in range(100)])
    ids = await fetch(queue, 25)
    await ended(queue, outcome, 2000)
    keep = "1000,86400"
    told = {"trace": "x" * 200, "keep_completed": keep, "keep_failed": keep}
    done = [Result(job_id, "t", outcome, '"' + "x" * 500 + '"', **told) for job_id in ids]
    return lambda: finish(queue, done, 25)


@scenario("finish_and_fetch: 25 completed, 24 small ones and one of 1 MiB fetched, old ones of 1 MiB pruned")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", "x" * 500)] * 49 + [("n", HUGE)])
    ids = await fetch(queue, 25)
    await huge(queue, "completed", 100)
    done = [Result(job_id, "t", "completed", "1", keep_completed="10,1") for job_id in ids]
    return lambda: finish(queue, done, 25)


@scenario("finish_and_fetch: the first results after a week without any, of which the metrics keep each minute")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", 1)] * 2)
    done = [Result(job_id, "t", "completed", "1") for job_id in await fetch(queue, 2)]
    long_ago = {"prevTS": int((time.time() - 2 * 60 * MOST_METRICS_MINUTES) * 1000), "prevCount": 0, "count": 1}
    await queue.redis.hset(f"{queue.keys.base}metrics:completed", mapping=long_ago)
    return lambda: finish(queue, done, points=MOST_METRICS_MINUTES)


@scenario("finish_and_fetch: results of 190 kB, 190 kB and one job of 1 MiB fetched")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", "")] * 25 + [("n", "x" * 8000)] * 24 + [("n", HUGE)])
    done = [Result(job_id, "t", "completed", '"' + "x" * 7600 + '"') for job_id in await fetch(queue, 25)]
    return lambda: finish(queue, done, 25)


@scenario("finish_and_fetch: traces and letters as heavy as a call may carry")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", LARGE)] * 2)
    ids = await fetch(queue, 2)
    for job_id in ids:
        await queue.redis.hset(queue.keys.job(job_id), "stacktrace", json.dumps(["line\n" * 1000] * 2))
    done = [Result(job_id, "t", "failed", "x" * MOST_REASON, trace="line\n" * 1600) for job_id in ids]
    return lambda: finish(queue, done, 25)


@scenario("finish_and_fetch: one letter of 1 MiB")
async def _(queue: Queue) -> Any:
    await queue.add("n", HUGE)
    (job_id,) = await fetch(queue)
    return lambda: finish(queue, [Result(job_id, "t", "failed", "x" * MOST_REASON, trace="line\n" * 1600)])


@scenario("finish_and_fetch: one result of 1 MiB, which its parent gets as well", exception=True)
async def _(queue: Queue) -> Any:
    await queue.add("n", "")
    (job_id,) = await fetch(queue)
    await queue.redis.hset(queue.keys.job(job_id), mapping={
        "parentKey": "bull:bench:p", "parent": json.dumps({"id": "p", "queueKey": "bull:bench"}),
    })  # fmt: skip
    await queue.redis.sadd("bull:bench:p:dependencies", queue.keys.job(job_id), "another")
    return lambda: finish(queue, [Result(job_id, "t", "completed", f'"{HUGE}"')])


@scenario("finish_and_fetch: one result of 1 MiB whose deduplication id has another of 1 MiB wait")
async def _(queue: Queue) -> Any:
    once = {"dedup": Dedup("d", keep_last_if_active=True)}
    await queue.add("n", "", **once)
    (job_id,) = await fetch(queue)
    await queue.add("n", HUGE, **once)
    return lambda: finish(queue, [Result(job_id, "t", "completed", f'"{HUGE}"')])


@scenario("finish_and_fetch: 25 whose deduplication ids have others of 1 MiB wait")
async def _(queue: Queue) -> Any:
    def jobs(data: str) -> list[Any]:
        return [("n", data, {"dedup": Dedup(f"d{n}", keep_last_if_active=True)}) for n in range(25)]

    await queue.add_bulk(jobs(""))
    ids = await fetch(queue, 25)
    await queue.add_bulk(jobs(HUGE))
    return lambda: finish(queue, [Result(job_id, "t", "completed", "1") for job_id in ids])


@scenario("finish_and_fetch: 25 of 20 kB and one of 1 MiB fetched, and again for a lost answer")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", LARGE)] * 12 + [("n", HUGE)] * 2)

    async def act() -> None:
        for token in ("t", "u", "v"):
            for again in (0, 1):
                await finish(queue, [], 25, token=token, again=again)

    return act


@scenario("finish_and_fetch: 25 of 1 MiB fetched")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", HUGE)] * 25)
    return lambda: finish(queue, [], 25)


@scenario("finish_and_fetch: 20 completed, 2,000 suspects looked past")
async def _(queue: Queue) -> Any:
    return await suspects(queue, 2000, "x" * 50_000)


@scenario("finish_and_fetch: 20 completed, 100,000 suspects looked past")
async def _(queue: Queue) -> Any:
    return await suspects(queue, 100_000, "x")


_SUSPECTS = """
for n = 1, ARGV[1] do
  redis.call('HSET', KEYS[1] .. n, 'name', 'n', 'data', ARGV[2], 'suspect', 1)
  redis.call('LPUSH', KEYS[2], 'suspect-' .. n)
end
"""


async def suspects(queue: Queue, count: int, data: str) -> Any:
    await queue.add_bulk(("n", "x") for _ in range(20))
    done = [Result(job_id, "t", "completed", '"done"') for job_id in await fetch(queue, 20)]
    await queue.redis.eval(_SUSPECTS, 2, queue.keys.job("suspect-"), queue.keys.wait, count, data)
    # what is found is taken out from behind all of them
    await queue.add_bulk(("n", "x") for _ in range(100))

    async def act() -> None:
        looked, carried = None, done
        while looked is None or looked.next_due_ms == looked.now_ms:
            looked = await queue.scripts.finish_and_fetch(
                carried, letters="", token="t", lease_ms=60_000, worker="w", room=25, suspects=0
            )
            carried = []
        assert len(looked.jobs) == 25

    return act


@scenario("finish_and_fetch: 25 go to wait for a larger worker")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n) for n in range(25)])
    back = [Result(each, "t", "back", "", larger="x" * MOST_REASON, outgrown=True) for each in await fetch(queue, 25)]
    return lambda: finish(queue, back)


@scenario("finish_and_fetch: one that waits for a larger worker, behind 10,000 that do no more")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", HUGE)])
    (job_id,) = await fetch(queue)
    await finish(queue, [Result(job_id, "t", "back", "", larger="x", outgrown=True)])
    await queue.redis.zadd(queue.keys.extra("larger"), {f"gone-{n}": 0 for n in range(10_000)})

    async def act() -> None:
        while not (await finish(queue, [], 1, larger=True)).jobs:
            pass

    return act


@scenario("extend_leases: 250")
async def _(queue: Queue) -> Any:
    return await leases(queue, lost=False)


@scenario("extend_leases: 250 that ran out, of 10,000 active")
async def _(queue: Queue) -> Any:
    return await leases(queue, lost=True)


@scenario("extend_leases: 250 that ran out, in the middle of 100,000 active")
async def _(queue: Queue) -> Any:
    return await leases(queue, lost=True, active=100_000)


async def leases(queue: Queue, *, lost: bool, active: int = 10_000) -> Any:
    await queue.add_bulk([("n", n) for n in range(250)])
    held: list[str | int] = []
    for job_id in await fetch(queue, 250):
        told = await queue.redis.hmget(queue.keys.job(job_id), "ats", "processedOn")
        held += (job_id, "t", f"{text(told[0])}:{text(told[1])}")
        if lost:
            await queue.redis.delete(queue.keys.job(job_id) + ":lock")
    for start in range(0, active - 250, 5000):
        # half of the others are newer, half are older
        push = queue.redis.rpush if start % 10_000 else queue.redis.lpush
        await push(queue.keys.active, *(f"other-{n}" for n in range(start, min(start + 5000, active - 250))))
    return lambda: queue.scripts.extend_leases(LEASE_MS, *held)


@scenario("mark_alone, update_progress, append_log, update_data: 1 MiB")
async def _(queue: Queue) -> Any:
    await queue.add("n", 1)
    await fetch(queue)

    async def act() -> None:
        await queue.scripts.mark_alone("1", "t")
        await queue.scripts.update_progress("1", f'"{HUGE}"', "t")
        await queue.scripts.append_log("1", HUGE, 100, "t")
        await queue.scripts.update_data("1", f'"{HUGE}"')

    return act


@scenario("beat: 1,000 running jobs, one to be cancelled")
async def _(queue: Queue) -> Any:
    return await beats(queue, 1)


@scenario("beat: 1,000 running jobs, all to be cancelled")
async def _(queue: Queue) -> Any:
    return await beats(queue, 1000)


async def beats(queue: Queue, cancelled: int) -> Any:
    await queue.add_bulk([("n", n) for n in range(1000)])
    ids = await fetch(queue, 1000)
    for job_id in ids[:cancelled]:
        await queue.cancel(job_id, "x" * MOST_REASON)
    return lambda: queue.scripts.beat("w", "w", 1000, "{}", "", [(job_id, "t") for job_id in ids])


@scenario("forget_children: 1,000")
async def _(queue: Queue) -> Any:
    await queue.add("n", 1)
    await fetch(queue)
    await queue.redis.sadd(queue.keys.job("1") + ":dependencies", *(f"bull:bench:c{n}" for n in range(1000)))
    return lambda: queue.scripts.forget_children("1", "t")


@scenario("recover_stalled: 1,000 whose workers died")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"priority": 3}) for n in range(1000)])
    ids = await fetch(queue, 1000)
    await queue.redis.delete(*(queue.keys.job(job_id) + ":lock" for job_id in ids))
    return lambda: queue.scripts.recover_stalled(1, 3, lease_ms=0, once=True)


@scenario("recover_stalled: 1,000 whose workers died, and that were to be cancelled")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"priority": 3}) for n in range(1000)])
    ids = await fetch(queue, 1000)
    for job_id in ids:
        await queue.cancel(job_id)
    await queue.redis.delete(*(queue.keys.job(job_id) + ":lock" for job_id in ids))
    return lambda: queue.scripts.recover_stalled(1, 3, lease_ms=0, once=True)


@scenario("hand_back_worker: 1,000 of a dead worker")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"priority": 3}) for n in range(1000)])
    await fetch(queue, 1000)
    return lambda: hand_back(queue)


@scenario("hand_back_worker: 1,000 of a dead worker that were to be cancelled")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"priority": 3}) for n in range(1000)])
    for job_id in await fetch(queue, 1000):
        await queue.cancel(job_id)
    return lambda: hand_back(queue)


@scenario("hand_back_worker: 1,000 of a dead worker that wait for a larger one")
async def _(queue: Queue) -> Any:
    await queue.add_bulk([("n", n, {"priority": 3}) for n in range(1000)])
    for job_id in await fetch(queue, 1000):
        await queue.redis.hset(queue.keys.job(job_id), "alone", "1")
    return lambda: hand_back(queue, fatal="alone", larger=True)


def hand_back(queue: Queue, **told: Any) -> Any:
    return queue.scripts.hand_back_worker("t", "x" * MOST_REASON, blame=True, most=1, keep_lines=1, **told)
