"""More suspects than one call looks past: what is behind them runs all the same, and they stay where they are."""

from __future__ import annotations

from typing import Any

import pytest
from crewline import Queue
from crewline.redis.scripts import Fetched
from crewline.wire.text import text

from tests.redis import process_handlers


async def _suspects(queue: Queue, count: int, name: str = "n", **options: Any) -> list[str]:
    """So many jobs that were with a worker that died; they wait before whatever is added later."""
    ids = [job.id for job in await queue.add_bulk((name, {}, options) for _ in range(count))]
    pipe = queue.redis.pipeline(transaction=False)
    for job_id in ids:
        pipe.hset(queue.keys.job(job_id), "suspect", "1")
    await pipe.execute()
    return ids


async def _added(queue: Queue, count: int, **options: Any) -> list[str]:
    return [job.id for job in await queue.add_bulk(("n", {}, options) for _ in range(count))]


async def _fetch(queue: Queue, room: int, suspects: int = 0) -> Fetched:
    return await queue.scripts.finish_and_fetch(
        [], letters="", token="t", lease_ms=60_000, worker="w", room=room, suspects=suspects
    )


async def _fetch_all(queue: Queue, room: int, most_calls: int) -> list[str]:
    """What a worker without room for suspects fetches: it calls again as long as it is told to."""
    found: list[str] = []
    for _ in range(most_calls):
        fetched = await _fetch(queue, room)
        found += [each.id for each in fetched.jobs]
        if len(fetched.jobs) < room and fetched.next_due_ms != fetched.now_ms:
            return found
    raise AssertionError(f"{most_calls} calls did not come to an end: {found}")


async def _waiting(queue: Queue) -> list[str]:
    return [text(job_id) for job_id in reversed(await queue.redis.lrange(queue.keys.wait, 0, -1))]


async def _prioritized(queue: Queue) -> list[str]:
    return [text(job_id) for job_id in await queue.redis.zrange(queue.keys.prioritized, 0, -1)]


async def test_what_is_behind_any_number_of_suspects_is_fetched_in_its_order(queue: Queue) -> None:
    suspects = await _suspects(queue, 1200)
    jobs = await _added(queue, 10)
    urgent_suspects = await _suspects(queue, 700, priority=1)
    urgent = await _added(queue, 10, priority=1)
    assert await _fetch_all(queue, 4, 15) == jobs + urgent
    assert await _waiting(queue) == suspects
    assert await _prioritized(queue) == urgent_suspects


async def test_a_worker_with_no_room_for_suspects_sees_what_is_behind_those_that_are_gone_meanwhile(
    queue: Queue,
) -> None:
    suspects = await _suspects(queue, 1200)
    jobs = await _added(queue, 10)
    assert not (await _fetch(queue, 4)).jobs
    others = await _fetch(queue, 300, suspects=300)
    assert [each.id for each in others.jobs] == suspects[:300]
    assert await _fetch_all(queue, 4, 6) == jobs
    assert await _waiting(queue) == suspects[300:]


async def test_what_comes_to_be_between_suspects_is_fetched_once_looks_begin_anew(queue: Queue) -> None:
    await _suspects(queue, 600)
    jobs = await _added(queue, 10)
    first = await _fetch(queue, 4)
    first = first if first.jobs else await _fetch(queue, 4)
    assert [each.id for each in first.jobs] == jobs[:4]
    (between,) = await _added(queue, 1, lifo=True)
    await _suspects(queue, 10, lifo=True)
    await queue.redis.hset(queue.keys.extra("passed"), "until", first.now_ms)
    assert await _fetch_all(queue, 4, 6) == [between, *jobs[4:]]


async def test_a_fetch_that_looks_past_few_suspects_leaves_no_note(queue: Queue) -> None:
    await _suspects(queue, 3)
    await _added(queue, 10)
    assert len((await _fetch(queue, 5)).jobs) == 5
    assert not await queue.redis.exists(queue.keys.extra("passed"))


async def test_a_key_of_another_type_in_place_of_the_note_costs_no_job(queue: Queue) -> None:
    await queue.redis.set(queue.keys.extra("passed"), "oops")
    await _suspects(queue, 600)
    jobs = await _added(queue, 3)
    assert await _fetch_all(queue, 4, 4) == jobs


@pytest.mark.parametrize("count", [9, 1000])
async def test_other_jobs_run_beside_more_suspects_than_a_worker_takes(
    queue: Queue, start_worker: Any, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr("crewline.worker.runs.isolation.MOST_CHILDREN", 1)
    monkeypatch.setattr("crewline.worker.runs.isolation.MOST_COPIES", 1)
    await queue.pause()
    await _suspects(queue, count, name="long")
    fresh = await queue.add_bulk(("fresh", {}) for _ in range(5))
    worker = await start_worker(process_handlers.either, concurrency=4)
    await queue.resume()
    for job in fresh:
        await job.result(timeout=20)
    assert not worker._slots.is_shut()
