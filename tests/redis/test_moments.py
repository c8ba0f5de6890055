"""A moment (`delay=` a datetime) stays what it is, wherever a job has to wait before; a time counts from there."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from crewline import Dedup, FlowJob, Job, Queue
from crewline.redis.scripts import Result

HOUR_MS = 3_600_000


async def _moment(queue: Queue, ahead_ms: int) -> tuple[datetime.datetime, int]:
    """A time by Redis' clock."""
    at_ms = await queue.scripts.read_clock() + ahead_ms
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC), at_ms


async def _due(queue: Queue, job: Job) -> int:
    score = await queue.redis.zscore(queue.keys.delayed, job.id)
    assert score is not None, await job.state()
    return int(score) // 4096


async def _fetch(queue: Queue, room: int = 1) -> None:
    fetched = await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=room)
    assert fetched.jobs


async def _complete(queue: Queue, job: Job) -> None:
    told = Result(job.id, "t", "completed", "1")
    fetched = await queue.scripts.finish_and_fetch([told], letters="", token="t", lease_ms=60_000, worker="w", room=0)
    assert fetched.codes == [0]


@pytest.mark.parametrize("moment", [True, False])
async def test_the_last_that_came_while_a_job_ran_runs_at_its_time(queue: Queue, moment: bool) -> None:
    keep = Dedup("sync", keep_last_if_active=True)
    first = await queue.add("n", 0, dedup=keep)
    await _fetch(queue)
    at, at_ms = await _moment(queue, HOUR_MS)
    await queue.add("n", 1, job_id="last", dedup=keep, delay=at if moment else 3600)
    # what a BullMQ worker would go by, if it is one that ends the job
    opts = json.loads(await queue.redis.hget(queue.keys.base + "dn:sync", "opts") or "")
    assert HOUR_MS - 60_000 < opts["delay"] <= HOUR_MS and opts["de"]["id"] == "sync"
    before = await queue.scripts.read_clock()
    await _complete(queue, first)
    last = await queue.get_job("last")
    assert last is not None
    if moment:
        assert await _due(queue, last) == at_ms
    else:
        assert await _due(queue, last) >= before + HOUR_MS


@pytest.mark.parametrize("moment", [True, False])
async def test_a_parent_runs_at_its_time(queue: Queue, moment: bool) -> None:
    at, at_ms = await _moment(queue, HOUR_MS)
    options: dict[str, Any] = {"delay": at if moment else 3600}
    flow = await queue.add_flow(FlowJob("parent", options=options, children=[FlowJob("child")]))
    await _fetch(queue)
    before = await queue.scripts.read_clock()
    await _complete(queue, flow.children[0].job)
    if moment:
        assert await _due(queue, flow.job) == at_ms
    else:
        assert await _due(queue, flow.job) >= before + HOUR_MS


async def test_a_parent_whose_time_has_passed_runs_when_its_children_have_ended(queue: Queue, until: Any) -> None:
    at, at_ms = await _moment(queue, 50)
    flow = await queue.add_flow(FlowJob("parent", options={"delay": at}, children=[FlowJob("child")]))
    await _fetch(queue)

    async def passed() -> bool:
        return await queue.scripts.read_clock() > at_ms

    await until(passed)
    await _complete(queue, flow.children[0].job)
    assert await flow.job.state() == "waiting"
    assert await queue.redis.hmget(queue.keys.job(flow.job.id), "delay", "due") == [b"0", None]


async def test_a_leaf_of_a_large_tree_runs_when_one_of_a_small_tree_would(queue: Queue, until: Any) -> None:
    at, at_ms = await _moment(queue, HOUR_MS)
    soon, soon_ms = await _moment(queue, 60)
    options: list[dict[str, Any]] = [{"delay": at}, {"delay": 3600}, {"delay": soon}]
    call = queue.scripts.call

    async def late(name: str, *arguments: Any) -> Any:
        if name == "release_flow":
            # as long as a tree may take to be all there
            clock = await queue.scripts.read_clock()

            async def later() -> bool:
                return await queue.scripts.read_clock() > max(clock, soon_ms) + 20

            await until(later)
        return await call(name, *arguments)

    queue.scripts.call = late  # type: ignore[method-assign]
    children = [FlowJob("leaf", n, options=options[n] if n < 3 else {}) for n in range(110)]
    flow = await queue.add_flow(FlowJob("root", options={"delay": at}, children=children))
    by_moment, by_time, passed = (node.job for node in flow.children[:3])
    assert await _due(queue, by_moment) == at_ms
    added = int(await queue.redis.hget(queue.keys.job(by_time.id), "timestamp") or 0)
    assert await _due(queue, by_time) == added + HOUR_MS
    assert await passed.state() == "waiting"
    # and its root, whose children end
    await queue.remove(by_moment.id)
    await queue.remove(by_time.id)
    for _ in range(6):
        await queue.scripts.finish_and_fetch([], letters="", token="t", lease_ms=60_000, worker="w", room=20)
    for node in flow.children[2:]:
        await _complete(queue, node.job)
    assert await _due(queue, flow.job) == at_ms
