"""Large flows: they go to Redis in parts, and come to a good end though their producer dies between two of them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewline import CrewlineError, FlowJob, Job, Queue
from crewline.queue import housekeeping
from redis.exceptions import ResponseError


async def _nothing_runs(queue: Queue) -> bool:
    counts = await queue.metrics()
    return counts.waiting == counts.prioritized == counts.delayed == counts.active == 0


async def test_a_large_tree_goes_in_parts_and_none_of_it_runs_before_all_is_there(
    queue: Queue, start_worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, bool]] = []
    call = queue.scripts.call

    async def noted(name: str, *arguments: Any) -> Any:
        calls.append((name, await _nothing_runs(queue)))
        return await call(name, *arguments)

    async def handle(job: Job) -> Any:
        return len(await job.children_values()) or job.data

    monkeypatch.setattr(queue.scripts, "call", noted)
    leaves = [FlowJob("leaf", n, options={"priority": 3 if n % 50 == 0 else 0}) for n in range(450)]
    await start_worker(handle, concurrency=20)
    flow = await queue.add_flow(FlowJob("root", children=[FlowJob("middle", children=leaves), FlowJob("late")]))
    assert [name for name, _ in calls] == ["add_flow"] * 5 + ["release_flow"] * 5
    # while its parts are added, and when the first is let go
    assert [rests for _, rests in calls[:6]] == [True] * 6
    assert await flow.job.result(timeout=30) == 2
    middle = await queue.get_job(flow.children[0].job.id)
    assert middle is not None and middle.return_value == 450
    assert await queue.redis.keys("*:dependencies") == []


async def test_leaves_of_a_large_tree_wait_where_those_of_a_small_one_do(queue: Queue) -> None:
    options: list[dict[str, Any]] = [{}, {"priority": 2}, {"delay": 600}, {"lifo": True}]
    await queue.add("first", 1)
    children = [FlowJob("leaf", n, options=options[n] if n < 4 else {}) for n in range(210)]
    flow = await queue.add_flow(FlowJob("root", children=children))
    waiting = [job_id.decode() for job_id in await queue.redis.lrange(queue.keys.wait, 0, -1)]
    plain = [node.job.id for n, node in enumerate(flow.children) if n not in (1, 2, 3)]
    assert waiting == [*reversed(plain), "1", flow.children[3].job.id]
    assert await flow.children[1].job.state() == "waiting" and (await queue.metrics()).prioritized == 1
    assert await flow.children[2].job.state() == "delayed"
    assert await flow.job.state() == "waiting-children"


class Dying:
    """Lets a producer die at a call of its own: from that on, none of its calls comes to Redis."""

    def __init__(self, queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
        self._call, self._left = queue.scripts.call, {"add_flow": 99, "release_flow": 99}
        self._monkeypatch, self._scripts = monkeypatch, queue.scripts

    async def add(self, queue: Queue, root: FlowJob, **left: int) -> None:
        """Adds a flow as a producer that comes so far."""
        self._left |= left
        self._monkeypatch.setattr(self._scripts, "call", self._dies)
        with pytest.raises(ConnectionError, match="the producer is gone"):
            await queue.add_flow(root)
        self._monkeypatch.setattr(self._scripts, "call", self._call)

    async def _dies(self, name: str, *arguments: Any) -> Any:
        self._left[name] -= 1
        if self._left[name] < 0:
            raise ConnectionError("the producer is gone")
        return await self._call(name, *arguments)


@pytest.fixture
def dying(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Dying:
    return Dying(queue, monkeypatch)


def _large(**options: Any) -> FlowJob:
    leaves = [FlowJob("leaf", n, queue="other" if n % 2 else None) for n in range(249)]
    return FlowJob("root", children=[FlowJob("middle", children=leaves)], options={"job_id": "root", **options})


async def _nothing_is_left(queue: Queue) -> bool:
    keys = {key.decode().removeprefix("bull:") for key in await queue.redis.keys("*")}
    return keys <= {f"{name}:{part}" for name in ("emails", "other") for part in ("id", "events", "meta", "marker")}


async def test_what_a_producer_that_died_has_added_of_a_large_tree_goes_with_its_root(
    queue: Queue, dying: Dying
) -> None:
    await dying.add(queue, _large(), add_flow=1)
    assert await _nothing_runs(queue)
    assert (await queue.metrics()).waiting_children + (await queue.beside("other").metrics()).waiting_children == 100
    assert await queue.remove("root")
    assert await queue.settle_flows(older_than=0) == ([], {"root": 0})
    assert await _nothing_is_left(queue)


async def test_a_large_tree_that_was_never_all_there_is_taken_away_and_what_was_there_before_stays(
    queue: Queue, dying: Dying
) -> None:
    before = await queue.add("known", 1, job_id="known")
    root = _large()
    root.children[0].children.insert(0, FlowJob("known", options={"job_id": "known"}))
    await dying.add(queue, root, add_flow=2)
    assert await queue.settle_flows() == ([], {})
    assert await queue.settle_flows(older_than=0) == ([], {"root": 199})
    assert await before.state() == "waiting" and await before.remove()
    assert await _nothing_is_left(queue)


async def test_a_large_tree_is_given_up_only_if_its_producer_was_not_heard_of_for_minutes(
    queue: Queue, dying: Dying
) -> None:
    await dying.add(queue, _large(), add_flow=2)
    marks = queue.keys.extra("flows")
    aged = await queue.scripts.read_clock() - 1000 * round(housekeeping.ABANDONED_SECONDS)
    await queue.redis.zadd(marks, {"root": aged + 60_000})
    assert await queue.settle_flows() == ([], {})
    await queue.redis.zadd(marks, {"root": aged})
    assert await queue.settle_flows() == ([], {"root": 200})


async def test_a_large_tree_whose_producer_died_when_it_was_all_there_runs(
    queue: Queue, dying: Dying, start_worker: Any
) -> None:
    async def handle(job: Job) -> Any:
        return len(await job.children_values()) or job.data

    await dying.add(queue, _large(), release_flow=1)
    assert await queue.settle_flows(older_than=0) == (["root"], {})
    for name in ("emails", "other"):
        await start_worker(handle, name, concurrency=20)
    assert await queue.wait_for_result("root", timeout=30) == 1
    assert await queue.redis.keys("*:dependencies") == [] == await queue.redis.keys("bull-crewline:emails:flow*")


async def test_a_worker_settles_large_trees_whose_producers_died(
    queue: Queue, dying: Dying, start_worker: Any, until: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def handle(job: Job) -> None: ...

    await dying.add(queue, _large(), add_flow=2)
    await queue.redis.zadd(queue.keys.extra("flows"), {"root": 0})
    await start_worker(handle)
    await until(
        lambda: "flow root was never all there, since its producer died: its 200 jobs are removed" in caplog.text
    )
    assert not await queue.redis.exists(queue.keys.job("root"))


async def test_who_adds_the_same_root_again_goes_on_with_what_is_there(queue: Queue, dying: Dying) -> None:
    await dying.add(queue, _large(), add_flow=2)
    flow = await queue.add_flow(_large())
    assert not flow.job.added and not flow.children[0].job.added
    assert [leaf.job.added for leaf in flow.children[0].children] == [False] * 198 + [True] * 51
    counts = [await each.metrics() for each in (queue, queue.beside("other"))]
    # each of its jobs is there once
    assert sum(each.waiting for each in counts) == 249
    assert sum(each.waiting_children for each in counts) == 2
    assert await queue.redis.keys("bull-crewline:*flow*") == []


async def test_a_producer_that_slept_too_long_is_told_that_its_flow_was_taken_away(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, calls = queue.scripts.call, 0

    async def sleeps(name: str, *arguments: Any) -> Any:
        nonlocal calls
        calls += name == "add_flow"
        if name == "add_flow" and calls == 3:
            await queue.settle_flows(older_than=0)
        return await call(name, *arguments)

    monkeypatch.setattr(queue.scripts, "call", sleeps)
    with pytest.raises(CrewlineError, match=r"flow root of queue 'emails' was not added: .* add it again"):
        await queue.add_flow(_large())
    assert await _nothing_is_left(queue)


async def test_obliterate_forgets_a_large_tree_that_was_not_all_there(queue: Queue, dying: Dying) -> None:
    await dying.add(queue, FlowJob("root", children=[FlowJob("leaf", n) for n in range(250)]), add_flow=2)
    await queue.pause()
    await queue.obliterate()
    assert await queue.redis.keys("*") == []


async def test_a_large_tree_that_is_added_again_is_the_same_tree(queue: Queue, dying: Dying, start_worker: Any) -> None:
    async def handle(job: Job) -> Any:
        return len(await job.children_values()) or job.data

    await dying.add(queue, _large(), add_flow=2)
    flow = await queue.add_flow(_large())
    for name in ("emails", "other"):
        await start_worker(handle, name, concurrency=20)
    assert await flow.job.result(timeout=30) == 1
    middle = await queue.get_job(flow.children[0].job.id)
    assert middle is not None and middle.return_value == 249


async def test_what_a_large_tree_has_in_other_queues_goes_with_its_roots_queue(queue: Queue, dying: Dying) -> None:
    await dying.add(queue, _large(), add_flow=2)
    await queue.pause()
    await queue.obliterate()
    other = queue.beside("other")
    assert (await other.metrics()).waiting_children == 0
    assert await _nothing_is_left(queue)


async def test_a_large_tree_that_redis_refuses_keeps_no_other_from_being_settled(queue: Queue, dying: Dying) -> None:
    await dying.add(queue, _large(job_id="a"), add_flow=1)
    await dying.add(queue, _large(job_id="b"), add_flow=1)
    await queue.redis.set(queue.keys.extra("flow:a"), "something else")
    refused: list[str] = []
    settled = await queue.settle_flows(older_than=0, on_error=lambda root_id, error: refused.append(root_id))
    assert settled == ([], {"b": 100}) and refused == ["a"]
    with pytest.raises(ResponseError):
        await queue.settle_flows(older_than=0)
    for each in (queue, queue.beside("other")):
        await each.pause()
        await each.obliterate()
    assert await _nothing_is_left(queue)


async def test_a_large_tree_that_is_added_again_after_its_root_has_ended_runs_all_its_jobs_again(
    queue: Queue, start_worker: Any
) -> None:
    async def handle(job: Job) -> Any:
        return sorted((await job.children_values()).values()) or job.data

    await start_worker(handle, concurrency=20)
    for night in range(2):
        leaves = [FlowJob("leaf", night * 1000 + n) for n in range(150)]
        flow = await queue.add_flow(
            FlowJob("root", 0, children=leaves, options={"job_id": "nightly", "remove_on_complete": True})
        )
        assert flow.job.added and all(leaf.job.added for leaf in flow.children)
        assert await flow.job.result(timeout=30) == [night * 1000 + n for n in range(150)]


async def test_a_large_tree_that_is_added_again_below_a_root_that_is_kept_has_jobs_of_its_own(
    queue: Queue, dying: Dying, start_worker: Any
) -> None:
    async def handle(job: Job) -> Any:
        return len(await job.children_values()) or job.data

    for name in ("emails", "other"):
        await start_worker(handle, name, concurrency=20)
    first = await queue.add_flow(_large())
    assert await first.job.result(timeout=30) == 1
    # its producer dies, and goes on with that tree
    await dying.add(queue, _large(), add_flow=2)
    second = await queue.add_flow(_large())
    assert [leaf.job.added for leaf in second.children[0].children] == [False] * 198 + [True] * 51
    assert second.children[0].job.id != first.children[0].job.id
    assert await queue.wait_for_result(second.children[0].job.id, timeout=30) == 249


async def test_two_producers_that_add_the_same_large_tree_at_once_add_one_and_both_are_given_it(queue: Queue) -> None:
    flows = await asyncio.gather(*[queue.add_flow(_large()) for _ in range(2)])
    ids = [[leaf.job.id for leaf in flow.children[0].children] for flow in flows]
    assert ids[0] == ids[1]
    assert sorted(flow.job.added for flow in flows) == [False, True]
    counts = [await each.metrics() for each in (queue, queue.beside("other"))]
    assert sum(each.waiting for each in counts) == 249
    assert sum(each.waiting_children for each in counts) == 2
    assert await queue.redis.keys("bull-crewline:*flow*") == []


@pytest.mark.parametrize("asleep_at", [pytest.param(2, id="the second part"), pytest.param(4, id="letting it go")])
async def test_a_producer_whose_large_tree_another_has_let_go_meanwhile_is_given_what_is_there(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, asleep_at: int
) -> None:
    call, calls = queue.scripts.call, 0

    async def sleeps(name: str, *arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == asleep_at:
            await queue.add_flow(_large())
        return await call(name, *arguments)

    monkeypatch.setattr(queue.scripts, "call", sleeps)
    flow = await queue.add_flow(_large())
    assert flow.job.added and len(flow.children[0].children) == 249
    counts = [await each.metrics() for each in (queue, queue.beside("other"))]
    assert sum(each.waiting for each in counts) == 249


async def test_a_large_tree_whose_root_waits_for_it_is_there_once_however_often_it_is_added(queue: Queue) -> None:
    first = await queue.add_flow(_large())
    again = await queue.add_flow(_large())
    assert [leaf.job.id for leaf in again.children[0].children] == [leaf.job.id for leaf in first.children[0].children]
    assert not any(each.job.added for each in (again, *again.children, *again.children[0].children))
    counts = [await each.metrics() for each in (queue, queue.beside("other"))]
    assert sum(each.waiting for each in counts) == 249


async def test_a_large_tree_that_was_given_up_below_a_root_that_was_there_before_is_added_anew(
    queue: Queue, dying: Dying
) -> None:
    await queue.add("before", 1, job_id="root")
    await dying.add(queue, _large(), add_flow=2)
    await queue.settle_flows(older_than=0)
    flow = await queue.add_flow(_large())
    assert not flow.job.added and all(leaf.job.added for leaf in flow.children[0].children)
    counts = [await each.metrics() for each in (queue, queue.beside("other"))]
    assert sum(each.waiting for each in counts) == 250
