"""A call that was given up and reaches Redis after its repeat leases nothing: nobody would hear of these jobs."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from crewline import Job, Queue, Worker
from crewline.redis.scripts import Fetched, Result
from crewline.wire.text import text

from tests.chaos.proxy import Proxy
from tests.redis_server import RedisServer


async def _fetch(queue: Queue, again: int = 0, room: int = 2, *results: Result, **more: Any) -> Fetched:
    return await queue.scripts.finish_and_fetch(
        results, letters="", token="mine", lease_ms=5000, worker="w", room=room, again=again, **more
    )


def _ids(fetched: Fetched) -> list[str]:
    return [job.id for job in fetched.jobs]


async def test_a_call_that_comes_after_its_repeat_leases_nothing(queue: Queue) -> None:
    await queue.add_bulk(("n", i) for i in range(5))
    assert _ids(await _fetch(queue, again=1)) == ["1", "2"]
    assert _ids(await _fetch(queue)) == []
    assert (await queue.metrics()).active == 2


async def test_a_repeat_that_comes_after_a_later_one_leases_nothing(queue: Queue) -> None:
    await queue.add_bulk(("n", i) for i in range(5))
    last = await _fetch(queue, again=2)
    assert _ids(last) == ["1", "2"]
    assert _ids(await _fetch(queue, again=1)) == []
    # and does not change which start it was that the last one told of
    assert await queue.redis.hget(queue.keys.job("1"), "processedOn") == last.jobs[0].started.partition(":")[2].encode()


async def test_each_repeat_brings_what_the_first_call_has_leased(queue: Queue) -> None:
    await queue.add_bulk(("n", i) for i in range(5))
    assert [_ids(await _fetch(queue, again)) for again in range(4)] == [["1", "2"]] * 4


async def test_a_late_call_tells_idle_workers_of_what_its_marker_told_of(queue: Queue) -> None:
    await queue.add_bulk(("n", i) for i in range(5))
    await _fetch(queue, again=1)
    await queue.redis.delete(queue.keys.marker)
    await _fetch(queue, unread_ms=1000)
    assert await queue.redis.zscore(queue.keys.marker, "0") == 0


async def test_a_late_call_settles_nothing_twice(queue: Queue) -> None:
    await queue.add("n", 1, attempts=2, backoff=0)
    await _fetch(queue)
    failed = Result("1", "mine", "retry", "torn")
    assert (await _fetch(queue, 1, 0, failed)).codes == [0]
    late = await _fetch(queue, 0, 2, failed)
    assert (late.codes, _ids(late)) == ([-2], [])
    assert await queue.redis.hget(queue.keys.job("1"), "atm") == b"1"


async def test_what_is_known_of_repeats_goes_by_itself(queue: Queue) -> None:
    await _fetch(queue, again=1)
    (key,) = [key async for key in queue.redis.scan_iter(queue.keys.extra("repeated:*"))]
    assert 0 < await queue.redis.pttl(key) <= 3_600_000


async def test_a_rate_limit_that_is_no_number_holds_nobody_up(queue: Queue) -> None:
    await queue.add_bulk(("n", i) for i in range(5))
    await queue.set_global_rate(10)
    await queue.redis.lpush(queue.keys.limiter, "no counter")
    assert _ids(await _fetch(queue)) == ["1", "2"]
    assert await queue.redis.get(queue.keys.limiter) == b"2"


async def test_jobs_are_run_once_each_where_a_link_stalls_and_delivers_after_the_repeat(
    redis_server: RedisServer, queue: Queue, until: Any
) -> None:
    """The link is silent for longer than a call waits; new connections get through; then it delivers all."""
    runs: Counter[str] = Counter()

    async def handle(job: Job) -> None:
        runs[job.id] += 1
        await asyncio.sleep(0.01)

    async with Proxy(redis_server.port) as proxy:
        await queue.add_bulk(("n", i) for i in range(500))
        worker = Worker(queue.name, handler=handle, redis=proxy.url, concurrency=20, lease_seconds=3)
        working = asyncio.create_task(worker.run())
        await until(lambda: len(runs) >= 100)
        deliver, before = proxy.hold(), len(runs)
        # the repeats are through: it goes on
        await until(lambda: len(runs) >= before + 100)
        deliver()
        await until(lambda: _ended(queue, 500))
        await worker.stop()
        await working
    events = Counter(text(entry[b"event"]) for _, entry in await queue.redis.xrange(queue.keys.events))
    assert events["stalled"] == 0
    assert events["active"] == 500
    assert set(runs.values()) == {1}


async def _ended(queue: Queue, count: int) -> bool:
    counts = await queue.metrics()
    return counts.completed == count and counts.active == 0
