"""What one call carries and brings is bounded in bytes: Redis stands still while it copies them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, NamedTuple

import pytest
from crewline import FlowJob, Job, JobNotFound, Queue, Reject
from crewline.queue.dead_letters import DeadLetters
from crewline.queue.events import READ_COUNT
from crewline.queue.portions import READ_BYTES, READ_FIRST, READ_MOST
from crewline.redis.scripts import MOST_BYTES, Fetched, Result, Scripts


class Sent(NamedTuple):
    """A script's call and the bytes of its arguments."""

    script: str
    size: int


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Sent]:
    """All calls of scripts, as they leave."""
    calls: list[Sent] = []
    command = Scripts.command

    def noted(scripts: Scripts, name: str, *args: Any) -> tuple[Any, ...]:
        calls.append(Sent(name, sum(len(str(each).encode()) for each in args)))
        return command(scripts, name, *args)

    monkeypatch.setattr(Scripts, "command", noted)
    return calls


async def test_jobs_added_in_bulk_go_in_calls_of_so_many_bytes(queue: Queue, sent: list[Sent]) -> None:
    jobs = await queue.add_bulk(("n", "x" * 30_000) for _ in range(50))
    assert [job.id for job in jobs] == [str(n) for n in range(1, 51)]
    assert await queue.redis.llen(queue.keys.wait) == 50
    assert all(call.size <= 1.05 * MOST_BYTES for call in sent)
    # and no more calls than that takes
    assert len(sent) <= 50 * 30_000 / MOST_BYTES * 1.3


async def test_a_job_that_is_larger_than_a_call_may_be_goes_by_itself(queue: Queue, sent: list[Sent]) -> None:
    await queue.add_bulk([("n", "x"), ("n", "x" * MOST_BYTES), ("n", "x"), ("n", "x")])
    assert [call.size > MOST_BYTES for call in sent] == [False, True, False]


async def test_bytes_are_counted_and_not_characters(queue: Queue, sent: list[Sent]) -> None:
    await queue.add_bulk(("n", "€" * 20_000) for _ in range(10))
    assert all(call.size <= 1.05 * MOST_BYTES for call in sent)


async def test_a_flow_with_large_data_is_added_in_parts_of_so_many_bytes(queue: Queue, sent: list[Sent]) -> None:
    children = [FlowJob("leaf", "x" * 50_000) for _ in range(10)]
    node = await queue.add_flow(FlowJob("root", "x" * 50_000, children=children))
    added = [call.size for call in sent if call.script == "add_flow"]
    assert len(added) > 1 and max(added) <= 1.05 * MOST_BYTES
    assert await queue.redis.scard(queue.keys.job(node.job.id) + ":dependencies") == 10
    assert await queue.redis.llen(queue.keys.wait) == 10


async def test_a_flow_with_large_data_that_is_added_again_is_the_same_flow(queue: Queue) -> None:
    root = FlowJob("root", children=[FlowJob("leaf", "x" * 150_000) for _ in range(2)], options={"job_id": "r"})
    first, again = await queue.add_flow(root), await queue.add_flow(root)
    assert [child.job.id for child in again.children] == [child.job.id for child in first.children]
    assert await queue.redis.llen(queue.keys.wait) == 2


async def test_failures_go_in_calls_of_so_many_bytes_of_the_letters_that_they_write(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []
    call = Scripts.finish_and_fetch

    async def noted(scripts: Scripts, results: list[Result], **options: Any) -> Fetched:
        calls.append([result.outcome for result in results])
        return await call(scripts, results, **options)

    monkeypatch.setattr(Scripts, "finish_and_fetch", noted)
    begun, gate = [], asyncio.Event()

    async def handle(job: Job) -> None:
        begun.append(job.id)
        await gate.wait()
        raise Reject("no")

    await queue.add_bulk(("n", "x" * 40_000) for _ in range(20))
    await start_worker(handle, concurrency=20)
    await until(lambda: len(begun) == 20)
    gate.set()
    letters = DeadLetters(queue)
    await until(lambda: _is(letters.count, 20))
    failed = [outcomes.count("failed") for outcomes in calls if outcomes]
    assert sum(failed) == 20
    assert max(failed) == MOST_BYTES // 80_000


async def _fetch(queue: Queue, room: int = 25, **more: Any) -> Fetched:
    told: dict[str, Any] = {"letters": "", "token": "t", "lease_ms": 5000, "worker": "w"}
    return await queue.scripts.finish_and_fetch([], room=room, **told, **more)


def _ids(fetched: Fetched) -> list[int]:
    return [int(job.id) for job in fetched.jobs]


async def _waiting(queue: Queue) -> list[int]:
    """Those in wait, the next to run first."""
    return [int(job_id) for job_id in reversed(await queue.redis.lrange(queue.keys.wait, 0, -1))]


async def test_a_fetch_ends_with_the_job_that_makes_it_so_many_bytes(queue: Queue) -> None:
    await queue.add_bulk(("n", "x" * 60_000) for _ in range(10))
    fetched = await _fetch(queue)
    assert _ids(fetched) == [1, 2, 3, 4]
    assert fetched.more
    # nothing has changed for the others: they run in their order, and idle workers hear of them
    assert await _waiting(queue) == [5, 6, 7, 8, 9, 10]
    assert await queue.redis.lrange(queue.keys.active, 0, -1) == [b"4", b"3", b"2", b"1"]
    assert await queue.redis.zscore(queue.keys.marker, "0") == 0
    assert [_ids(await _fetch(queue)) for _ in range(3)] == [[5, 6, 7, 8], [9, 10], []]


async def test_small_jobs_are_fetched_as_many_as_there_is_room_for(queue: Queue) -> None:
    await queue.add_bulk(("n", "x" * 100) for _ in range(30))
    fetched = await _fetch(queue)
    assert len(fetched.jobs) == 25 and not fetched.more


async def test_the_last_large_job_says_that_there_is_no_more(queue: Queue) -> None:
    await queue.add("n", "x" * MOST_BYTES)
    fetched = await _fetch(queue)
    assert _ids(fetched) == [1] and not fetched.more


async def test_large_jobs_with_priorities_keep_their_order(queue: Queue) -> None:
    await queue.add_bulk(("n", "x" * MOST_BYTES, {"priority": priority}) for priority in (3, 2, 2, 0, 1))
    assert [_ids(await _fetch(queue)) for _ in range(6)] == [[4], [5], [2], [3], [1], []]


async def test_a_large_job_counts_once_against_limits(queue: Queue) -> None:
    await queue.set_global_concurrency(2)
    await queue.set_global_rate(3, per_seconds=60)
    await queue.add_bulk(("n", "x" * MOST_BYTES) for _ in range(5))
    assert [_ids(await _fetch(queue)) for _ in range(3)] == [[1], [2], []]
    await queue.set_global_concurrency(None)
    assert _ids(await _fetch(queue)) == [3]
    limited = await _fetch(queue)
    assert limited.jobs == [] and limited.limited_ms > 0 and not limited.more
    assert await _waiting(queue) == [4, 5]


async def test_large_jobs_behind_a_suspect_are_fetched_and_it_stays_first(queue: Queue) -> None:
    await queue.add_bulk(("n", "x" * MOST_BYTES) for _ in range(4))
    await queue.redis.hset(queue.keys.job("1"), "suspect", "1")
    fetched = [await _fetch(queue, suspects=0) for _ in range(4)]
    assert [_ids(each) for each in fetched] == [[2], [3], [4], []]
    assert not fetched[-1].more
    assert await _waiting(queue) == [1]


async def test_the_repeat_of_a_fetch_of_large_jobs_brings_the_same(queue: Queue) -> None:
    await queue.add_bulk(("n", "x" * MOST_BYTES) for _ in range(3))
    assert _ids(await _fetch(queue)) == _ids(await _fetch(queue, again=1)) == [1]
    assert await _waiting(queue) == [2, 3]


async def test_a_worker_fills_all_its_slots_with_large_jobs(queue: Queue, start_worker: Any, until: Any) -> None:
    begun: set[str] = set()
    gate = asyncio.Event()

    async def handle(job: Job) -> None:
        begun.add(job.id)
        await gate.wait()

    await queue.add_bulk(("n", "x" * MOST_BYTES) for _ in range(12))
    # no look by time fills them: that is seconds away
    await start_worker(handle, concurrency=10)
    await until(lambda: len(begun) == 10, seconds=4.0)
    gate.set()
    await until(lambda: len(begun) == 12, seconds=4.0)


async def _calls(queue: Queue, command: str) -> int:
    stats = await queue.redis.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def test_results_of_many_children_are_read_in_parts(queue: Queue) -> None:
    job = await queue.add("parent", 1)
    values = {f"bull:emails:{n}": json.dumps("x" * 100_000) for n in range(100)}
    await queue.redis.hset(queue.keys.job(job.id) + ":processed", mapping=values)
    await queue.redis.config_resetstat()
    assert await job.children_values() == {key: json.loads(value) for key, value in values.items()}
    assert await _calls(queue, "hscan") >= 100 * 100_000 / READ_BYTES
    small = {f"bull:emails:{n}": "why" for n in range(5000)}
    await queue.redis.hset(queue.keys.job(job.id) + ":failed", mapping=small)
    await queue.redis.config_resetstat()
    assert await job.children_failures() == small
    assert await _calls(queue, "hscan") >= 5000 / READ_MOST


async def test_a_long_log_is_read_in_parts(queue: Queue) -> None:
    job = await queue.add("n", 1)
    lines = [f"{n} " + "x" * 60_000 for n in range(100)] + [str(n) for n in range(900)]
    for line in lines:
        await job.log(line)
    await queue.redis.config_resetstat()
    assert await job.logs() == lines
    assert await _calls(queue, "lrange") >= 100 * 60_000 / READ_BYTES
    await queue.redis.delete(queue.keys.job(job.id) + ":logs")
    assert await job.logs() == []


async def test_events_with_large_results_are_read_in_parts(queue: Queue) -> None:
    entry: Any = {"event": "completed", "jobId": "gone", "returnvalue": json.dumps("x" * 500_000)}
    for _ in range(40):
        await queue.redis.xadd(queue.keys.events, entry)
    await queue.redis.config_resetstat()
    with pytest.raises(JobNotFound):
        await queue.wait_for_result("never there", timeout=60)
    assert await _calls(queue, "xrevrange") >= 40 * 500_000 / READ_BYTES
    await queue.redis.config_resetstat()
    read = 0
    async with contextlib.aclosing(queue.events(after="0")) as events:
        async for event in events:
            assert event.job_id == "gone"
            read += 1
            if read == 40:
                break
    assert await _calls(queue, "xread") >= (40 - READ_FIRST) * 500_000 / READ_BYTES


async def test_many_small_events_are_read_in_few_calls(queue: Queue) -> None:
    pipe = queue.redis.pipeline(transaction=False)
    for number in range(3000):
        pipe.xadd(queue.keys.events, {"event": "waiting", "jobId": str(number)})
    await pipe.execute()
    await queue.redis.config_resetstat()
    with pytest.raises(JobNotFound):
        await queue.wait_for_result("never there", timeout=60)
    assert await _calls(queue, "xrevrange") <= 3000 / READ_MOST + 8
    await queue.redis.config_resetstat()
    read = 0
    async with contextlib.aclosing(queue.events(after="0")) as events:
        async for event in events:
            assert event.job_id == str(read)
            read += 1
            if read == 3000:
                break
    assert await _calls(queue, "xread") <= 3000 / READ_COUNT + 5


async def test_a_line_of_a_log_is_cut_where_it_is_too_long(queue: Queue) -> None:
    job = await queue.add("n", 1)
    await job.log("x" * 200_000)
    (line,) = await job.logs()
    assert len(line) < 66_000 and line.endswith("... (200000 characters)")


async def _is(count: Any, wanted: int) -> bool:
    return await count() == wanted
