"""Jobs that hold much go a few a call; what is to go goes all the same, and nothing else does."""

from __future__ import annotations

import contextlib
import hashlib
from typing import Any

import pytest
from crewline import FlowJob, Keep, Queue
from crewline.redis.scripts import Result, source
from crewline.redis.scripts.calls import caller

#: Data of a job that is larger than what may go in a call of these tests.
LARGE = "x" * 200


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Calls may free few bytes here; the scripts that were called."""
    made: list[str] = []

    def tight(name: str) -> str:
        text = source(name).replace("local MOST_FREED = 32000000", "local MOST_FREED = 300")
        return text.replace("math.floor(16000000 / (size + 1))", "math.floor(300 / (size + 1))")

    def sha(name: str) -> str:
        made.append(name)
        return hashlib.sha1(tight(name).encode(), usedforsecurity=False).hexdigest()

    monkeypatch.setattr(caller, "source", tight)
    monkeypatch.setattr(caller, "sha", sha)
    return made


async def _completed(queue: Queue, count: int, **options: Any) -> None:
    await queue.add_bulk(("n", LARGE, options) for _ in range(count))
    asked: dict[str, Any] = {"letters": "", "lease_ms": 5000, "worker": "w"}
    for _ in range(count):
        fetched = await queue.scripts.finish_and_fetch([], token="t", room=1, **asked)
        done = [Result(job.id, "t", "completed", "1") for job in fetched.jobs]
        await queue.scripts.finish_and_fetch(done, token="u", room=0, **asked)


async def test_all_that_is_to_be_cleaned_goes_some_a_call(queue: Queue, calls: list[str]) -> None:
    await _completed(queue, 7)
    assert len(await queue.clean("completed")) == 7
    assert calls.count("clean_jobs") > 3
    assert await queue.redis.keys(queue.keys.job("?")) == []


async def test_a_list_is_cleaned_of_all_but_those_that_are_to_stay(queue: Queue) -> None:
    jobs = await queue.add_bulk(("n", LARGE) for _ in range(9))
    # each third is young
    for job in jobs[::3]:
        await queue.redis.hset(queue.keys.job(job.id), "timestamp", 2**45)
    gone = await queue.clean("waiting")
    assert sorted(gone) == [job.id for job in jobs if job not in jobs[::3]]
    waiting = [job_id.decode() for job_id in await queue.redis.lrange(queue.keys.wait, 0, -1)]
    assert waiting == [job.id for job in reversed(jobs[::3])]


async def test_a_clean_that_is_limited_ends_there(queue: Queue) -> None:
    await _completed(queue, 7)
    assert await queue.clean("completed", limit=3) == ["1", "2", "3"]


async def test_a_drain_takes_all(queue: Queue) -> None:
    await queue.add_bulk(("n", LARGE, {"priority": n % 2}) for n in range(9))
    assert await queue.drain() == 9
    assert await queue.redis.keys(queue.keys.job("?")) == []


async def test_nothing_of_an_obliterated_queue_is_left(queue: Queue, calls: list[str]) -> None:
    await _completed(queue, 3)
    await queue.add_bulk(("n", LARGE, {"delay": 60 * (n % 2)}) for n in range(6))
    for n in range(3):
        await queue.schedule(f"s{n}", "n", LARGE, every=60)
    await queue.pause()
    await queue.obliterate()
    assert calls.count("obliterate_queue") > 5
    assert await queue.redis.keys("*") == []


async def test_a_sweep_goes_on_where_it_stopped_for_what_it_had_deleted(queue: Queue) -> None:
    await _completed(queue, 4, remove_on_complete=Keep(age_seconds=1))
    await _completed(queue, 2, remove_on_complete=False)
    await _completed(queue, 3, remove_on_complete=Keep(age_seconds=1))
    for n in range(1, 10):
        await queue.redis.zadd(queue.keys.completed, {str(n): n})
    swept = []
    while not swept or swept[-1][1]:
        swept.append(await queue.scripts.sweep_jobs("completed", Keep()))
    assert sum(gone for gone, _ in swept) == 7 and len(swept) > 3
    assert await queue.redis.zrange(queue.keys.completed, 0, -1) == [b"5", b"6"]


async def test_a_tree_goes_whole(queue: Queue, calls: list[str]) -> None:
    branches = [FlowJob("branch", LARGE, [FlowJob("leaf", LARGE) for _ in range(3)]) for _ in range(3)]
    root = await queue.add_flow(FlowJob("root", LARGE, branches))
    assert await root.job.remove()
    assert calls.count("remove_job") > 3
    left = [key async for key in queue.redis.scan_iter(queue.keys.job("*-*"))]
    assert left == []


async def test_a_chain_of_large_jobs_goes_whole(queue: Queue) -> None:
    flow = FlowJob("end", LARGE)
    for _ in range(9):
        flow = FlowJob("above", LARGE, [flow])
    root = await queue.add_flow(flow)
    assert await root.job.remove()
    assert [key async for key in queue.redis.scan_iter(queue.keys.job("*-*"))] == []


async def test_a_flow_that_is_given_up_goes_whole(queue: Queue, calls: list[str]) -> None:
    call = queue.scripts.call

    async def dies(name: str, *arguments: Any) -> Any:
        if calls.count("add_flow") > 1:
            raise ConnectionError
        return await call(name, *arguments)

    queue.scripts.call = dies  # type: ignore[method-assign]
    with contextlib.suppress(ConnectionError):
        await queue.add_flow(FlowJob("root", LARGE, [FlowJob("leaf", LARGE) for _ in range(250)]))
    queue.scripts.call = call  # type: ignore[method-assign]
    settled = await queue.settle_flows(older_than=0)
    assert sum(settled.removed.values()) >= 100
    assert calls.count("give_up_flow") > 10
    assert [key async for key in queue.redis.scan_iter(queue.keys.job("*-*"))] == []


async def test_what_retention_leaves_for_later_calls_goes_with_these(queue: Queue) -> None:
    await _completed(queue, 20, remove_on_complete=False)
    await queue.add_bulk(("n", LARGE) for _ in range(6))
    asked: dict[str, Any] = {"letters": "", "lease_ms": 5000, "worker": "w", "room": 1}
    counts, done = [], []
    for _ in range(7):
        fetched = await queue.scripts.finish_and_fetch(done, token="t", **asked)
        done = [Result(job.id, "t", "completed", "1", keep_completed="3,") for job in fetched.jobs]
        counts.append(await queue.redis.zcard(queue.keys.completed))
    # one more each time, and five at most fewer; then as many as are to stay, the newest
    assert counts == [20, 16, 12, 8, 4, 3, 3]
    assert await queue.redis.zrange(queue.keys.completed, 0, -1) == [b"24", b"25", b"26"]
