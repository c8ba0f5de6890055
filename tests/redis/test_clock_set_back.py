"""Redis' clock is set back: what was to end by it lasts so much longer, and nothing of ours waits for that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewline import Queue
from crewline.redis.scripts import Fetched, Scripts
from crewline.upkeep.maintainer import SWEEP_SECONDS, QueueMaintainer

#: Ten minutes: what had a moment to go has so long to go then.
BACK_MS = 600_000
LEASE_MS = 4000
INTERVAL_MS = LEASE_MS // 3


async def _fetch(queue: Queue, room: int = 1, **more: Any) -> Fetched:
    asked = {"letters": "", "token": "t", "lease_ms": LEASE_MS, "worker": "w", **more}
    return await queue.scripts.finish_and_fetch(asked.pop("results", []), room=room, **asked)


@pytest.mark.parametrize("left_ms", [BACK_MS, None], ids=["set back", "for ever"])
async def test_lost_jobs_are_looked_for_all_the_same(queue: Queue, left_ms: int | None) -> None:
    job = await queue.add("n", 1)
    await _fetch(queue)
    await queue.redis.delete(queue.keys.job(job.id) + ":lock")
    await queue.redis.hset(queue.keys.job(job.id), "processedOn", "5")
    await queue.redis.set(queue.keys.stalled_check, "1", px=left_ms)
    found = await queue.scripts.recover_stalled(INTERVAL_MS, 3, lease_ms=LEASE_MS, once=True)
    assert found.back == [job.id]
    assert 0 < await queue.redis.pttl(queue.keys.stalled_check) <= INTERVAL_MS


async def test_the_gate_of_a_worker_with_a_longer_interval_holds(queue: Queue) -> None:
    await queue.redis.set(queue.keys.stalled_check, "1", px=30_000)
    await queue.scripts.recover_stalled(INTERVAL_MS, 3, lease_ms=LEASE_MS, once=True)
    assert await queue.redis.pttl(queue.keys.stalled_check) > INTERVAL_MS


@pytest.mark.parametrize("left_ms", [BACK_MS, None], ids=["set back", "for ever"])
async def test_a_queue_is_swept_all_the_same(queue: Queue, start_worker: Any, until: Any, left_ms: int | None) -> None:
    # a schedule whose next iteration was lost
    planned = await queue.schedule("s", "n", every=60)
    await queue.redis.zrem(queue.keys.delayed, planned)
    await queue.redis.lrem(queue.keys.wait, 0, planned)
    await queue.redis.delete(queue.keys.job(planned))
    await queue.redis.set(queue.keys.extra("sweep"), "1", px=left_ms)

    async def handle(job: Any) -> None: ...

    await start_worker(handle)
    await until(lambda: queue.redis.zcard(queue.keys.delayed))
    await queue.schedules.remove("s")


@pytest.mark.parametrize("left_ms", [BACK_MS, None, 0], ids=["set back", "for ever", "no gate"])
async def test_one_of_many_workers_sweeps_a_queue(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, left_ms: int | None
) -> None:
    sleep, swept = asyncio.sleep, []

    async def end(seconds: float) -> None:
        if seconds == SWEEP_SECONDS:
            raise asyncio.CancelledError
        await sleep(seconds)

    async def sweep(self: Scripts, state: str, *arguments: Any) -> tuple[int, bool]:
        swept.append(state)
        return 0, False

    monkeypatch.setattr(asyncio, "sleep", end)
    monkeypatch.setattr(Scripts, "sweep_jobs", sweep)
    if left_ms != 0:
        await queue.redis.set(queue.keys.extra("sweep"), "1", px=left_ms)
    # they ask side by side
    await asyncio.gather(*(queue.redis.ping() for _ in range(10)))
    workers = [QueueMaintainer(queue, 1, 1, 3, None, None) for _ in range(10)]
    await asyncio.gather(*(worker.sweep() for worker in workers), return_exceptions=True)
    assert sorted(swept) == ["completed", "failed"]


async def test_what_is_between_suspects_is_looked_for_all_the_same(queue: Queue) -> None:
    async def suspects(count: int, **options: Any) -> None:
        for job in await queue.add_bulk(("n", n, options) for n in range(count)):
            await queue.redis.hset(queue.keys.job(job.id), "suspect", "1")

    await suspects(510)
    job = await queue.add("n", 1)
    found: list[str] = []
    while not found:
        found = [each.id for each in (await _fetch(queue, suspects=0)).jobs]
    assert found == [job.id]
    between = await queue.add("n", 1, lifo=True)
    await suspects(5, lifo=True)
    now = await queue.scripts.read_clock()
    await queue.redis.hset(queue.keys.extra("passed"), "until", now + BACK_MS)
    assert [each.id for each in (await _fetch(queue, suspects=0)).jobs] == [between.id]


async def test_a_rate_holds_no_longer_than_one_of_its_windows(queue: Queue) -> None:
    await queue.add_bulk(("n", n) for n in range(3))
    rate = {"rate": (1, 1000)}
    assert len((await _fetch(queue, 3, **rate)).jobs) == 1
    await queue.redis.pexpire(queue.keys.limiter, BACK_MS)
    limited = await _fetch(queue, 3, **rate)
    assert not limited.jobs and 0 < limited.limited_ms <= 1000
    assert await queue.redis.pttl(queue.keys.limiter) <= 1000


async def test_a_limit_that_was_set_by_hand_holds_as_long_as_it_was_given(queue: Queue) -> None:
    await queue.add("n", 1)
    await queue.redis.set(queue.keys.limiter, 2**53 - 1, px=BACK_MS)
    assert (await _fetch(queue, 1, rate=(1, 1000))).limited_ms > 1000


async def test_a_worker_that_has_died_is_gone_from_the_list_of_workers(queue: Queue) -> None:
    now = await queue.scripts.read_clock()
    await queue.redis.zadd(queue.keys.extra("workers"), {"dead": now + BACK_MS})
    await queue.scripts.beat("alive", "alive", 15_000, "{}", "", [])
    assert await queue.redis.zrange(queue.keys.extra("workers"), 0, -1) == [b"alive"]
