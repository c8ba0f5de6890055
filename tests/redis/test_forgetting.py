"""A job goes whole, whoever takes it away: its parent, its deduplication id and its marks do not wait for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest
from crewline import DeadLetters, Dedup, FlowJob, Job, Queue
from crewline.redis.scripts import Result


async def _failed_child(queue: Queue, **options: Any) -> tuple[Job, Job]:
    """A flow whose only child has failed for good, and whose parent waits on."""
    flow = await queue.add_flow(FlowJob("parent", children=[FlowJob("child", options={"attempts": 1, **options})]))
    child = flow.children[0].job
    assert (await _fetch(queue)) == child.id
    keep_failed = "0" if options.get("remove_on_fail") else ""
    await _settle(queue, Result(child.id, "t", "failed", "torn", keep_failed=keep_failed))
    return flow.job, child


async def _fetch(queue: Queue, token: str = "t") -> str:
    fetched = await queue.scripts.finish_and_fetch([], letters="", token=token, lease_ms=60_000, worker="w", room=1)
    (job,) = fetched.jobs
    return job.id


async def _settle(queue: Queue, result: Result, letters: str = "") -> None:
    fetched = await queue.scripts.finish_and_fetch(
        [result], letters=letters, token="t2", lease_ms=60_000, worker="w", room=0
    )
    assert fetched.codes == [0]


async def test_a_parent_does_not_wait_for_a_child_that_was_removed_when_it_failed(queue: Queue) -> None:
    parent, _ = await _failed_child(queue, remove_on_fail=True)
    assert await parent.state() == "waiting"


async def _sweep(queue: Queue, child: Job) -> None:
    await queue.redis.zadd(queue.keys.failed, {child.id: 1})  # older than its own retention
    await queue.scripts.sweep_jobs("failed", None)


async def _retain(queue: Queue, child: Job) -> None:
    await queue.add("other", 1, lifo=True)
    other = await _fetch(queue)
    await _settle(queue, Result(other, "t", "failed", "torn", keep_failed="1,"))


async def _clean(queue: Queue, child: Job) -> None:
    assert await queue.clean("failed") == [child.id]


async def _remove(queue: Queue, child: Job) -> None:
    assert await child.remove()


@pytest.mark.parametrize("take_away", [_sweep, _retain, _clean, _remove])
async def test_a_parent_does_not_wait_for_a_failed_child_that_was_taken_away(
    queue: Queue, take_away: Callable[[Queue, Job], Awaitable[None]]
) -> None:
    parent, child = await _failed_child(queue)
    assert await parent.state() == "waiting-children"
    await take_away(queue, child)
    assert await queue.get_job(child.id) is None
    assert await parent.state() == "waiting"


@pytest.mark.parametrize("state", ["waiting", "failed"])
async def test_a_parent_does_not_wait_for_a_child_whose_queue_was_obliterated(
    queue: Queue, redis_url: str, state: str
) -> None:
    async with Queue("pages", redis=redis_url) as pages:
        flow = await queue.add_flow(FlowJob("book", children=[FlowJob("page", queue="pages")]))
        if state == "failed":
            await _settle(pages, Result(await _fetch(pages), "t", "failed", "torn"))
        await pages.pause()
        await pages.obliterate()
        assert await flow.job.state() == "waiting"
        assert await pages.redis.keys("*:pages:*") == []


@pytest.mark.parametrize(("parent_waits", "on_failure"), [(False, "wait"), (True, "wait"), (True, "ignore")])
async def test_a_replayed_child_that_was_removed_is_its_parents_again_only_while_that_waits(
    queue: Queue, parent_waits: bool, on_failure: Literal["wait", "ignore"]
) -> None:
    options = {"attempts": 1, "remove_on_fail": True}
    children = [FlowJob("child", {"n": 1}, options=options, on_failure=on_failure)]
    if parent_waits:
        children.append(FlowJob("late", options={"delay": 60}))
    flow = await queue.add_flow(FlowJob("parent", children=children))
    child = flow.children[0].job
    assert await _fetch(queue) == child.id
    await _settle(queue, Result(child.id, "t", "failed", "torn", keep_failed="0"), "bull:emails-dlq:")
    assert await DeadLetters(queue).replay_all() == 1
    waits_for = await queue.redis.smembers(queue.keys.job(flow.job.id) + ":dependencies")
    key = queue.keys.job(child.id).encode()
    assert (key in waits_for) is parent_waits
    assert not await queue.redis.hexists(queue.keys.job(flow.job.id) + ":failed", key)
    if not parent_waits:
        assert await flow.job.state() == "waiting" and await child.state() == "waiting"
        return
    assert await _fetch(queue) == child.id
    await _settle(queue, Result(child.id, "t", "completed", '"fine"'))
    assert await queue.redis.hget(queue.keys.job(flow.job.id) + ":processed", key) == b'"fine"'


async def test_a_job_whose_id_has_colons_goes_whole(queue: Queue, start_worker: Any, until: Any) -> None:
    async def handle(job: Job) -> None: ...

    await start_worker(handle)
    planned = await queue.schedule("s", "n", every=3600)
    await until(lambda: queue.redis.zscore(queue.keys.completed, planned))
    # the next iteration may come after this one's end
    await until(lambda: queue.redis.zcard(queue.keys.delayed))
    before = set(await queue.redis.keys("*"))
    assert await queue.remove(planned)
    assert await queue.redis.zcard(queue.keys.completed) == 0
    assert set(await queue.redis.keys("*")) <= before - {queue.keys.job(planned).encode()}


async def test_a_child_whose_id_has_colons_goes_with_its_parent(queue: Queue) -> None:
    flow = await queue.add_flow(FlowJob("parent", children=[FlowJob("child")]))
    # a foreign client's: its ids may have three parts
    await queue.redis.hset(queue.keys.job("a:b:c"), mapping={"name": "n", "data": "1", "opts": "{}"})
    await queue.redis.sadd(queue.keys.job(flow.job.id) + ":dependencies", queue.keys.job("a:b:c"))
    await queue.redis.lpush(queue.keys.wait, "a:b:c")
    assert await flow.job.remove()
    assert {key.decode() for key in await queue.redis.keys("*")} <= {
        queue.keys.base + part for part in ("id", "events", "meta", "marker")
    }


async def test_obliterate_frees_the_deduplication_ids_of_all_its_jobs(queue: Queue) -> None:
    await queue.add("n", 1, dedup="x")
    await queue.add("n", 2, dedup=Dedup("y", ttl_seconds=60))
    keep_last = Dedup("z", keep_last_if_active=True)
    await queue.add("n", 3, dedup=keep_last)
    for _ in range(3):
        await _fetch(queue)
    await queue.add("n", 4, dedup=keep_last)
    await queue.pause()
    await queue.obliterate(force=True)
    assert await queue.redis.keys("*") == []


async def test_what_was_kept_for_later_runs_when_the_job_is_removed_that_it_came_after(queue: Queue) -> None:
    keep_last = Dedup("x", keep_last_if_active=True)
    first = await queue.add("n", 1, dedup=keep_last)
    await _fetch(queue)
    await queue.add("n", 2, dedup=keep_last)
    await queue.redis.delete(queue.keys.job(first.id) + ":lock")
    assert await first.remove()
    assert (await queue.metrics()).waiting == 1
    assert await queue.redis.keys("bull:emails:d*") == [b"bull:emails:de:x"]


async def test_a_replaced_child_is_not_waited_for(queue: Queue) -> None:
    debounce = {"dedup": Dedup("x", ttl_seconds=60, extend=True, replace=True), "delay": 60}
    flow = await queue.add_flow(FlowJob("parent", children=[FlowJob("child", options=debounce)]))
    await queue.add("n", 1, **debounce)
    assert await flow.job.state() == "waiting"


async def test_a_drained_list_of_many_keeps_its_order_and_those_of_schedules(queue: Queue) -> None:
    planned = await queue.schedule("s", "n", every=3600)
    await queue.add_bulk([("n", i) for i in range(450)])
    assert await queue.drain() == 450
    assert await queue.redis.lrange(queue.keys.wait, 0, -1) == [planned.encode()]
