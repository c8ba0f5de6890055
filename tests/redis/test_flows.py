"""Flows: parents wait for their children, and learn how they ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewline import CrewlineError, FlowJob, InvalidOption, InvalidPayload, Job, JobFailed, LeaseLost, Queue


async def test_a_parent_runs_after_its_children_and_has_their_results(queue: Queue, start_worker: Any) -> None:
    order: list[str] = []

    async def handle(job: Job) -> Any:
        order.append(job.name)
        if job.name.startswith("page"):
            return job.data["n"] * 10
        return sorted((await job.children_values()).values())

    flow = await queue.add_flow(
        FlowJob(
            "book", {}, children=[FlowJob("page-1", {"n": 1}), FlowJob("page-2", {"n": 2}, options={"priority": 5})]
        )
    )
    assert await flow.job.state() == "waiting-children"
    await start_worker(handle, concurrency=1)
    assert await flow.job.result(timeout=5) == [10, 20]
    assert order == ["page-1", "page-2", "book"]


async def test_a_tree_goes_over_levels_and_queues(queue: Queue, start_worker: Any, redis_url: str) -> None:
    async def handle(job: Job) -> Any:
        return {"name": job.name, "children": list((await job.children_values()).values())}

    flow = await queue.add_flow(
        FlowJob("root", children=[FlowJob("middle", queue="other", children=[FlowJob("leaf", queue="third")])])
    )
    for name in ("emails", "other", "third"):
        await start_worker(handle, queue=name)
    leaf = {"name": "leaf", "children": []}
    assert await flow.job.result(timeout=5) == {
        "name": "root",
        "children": [{"name": "middle", "children": [leaf]}],
    }
    assert flow.children[0].job.queue_name == "other"


@pytest.mark.parametrize(
    ("policy", "state", "failures"),
    [("ignore", "completed", 1), ("continue", "completed", 1), ("remove", "completed", 0), ("fail", "failed", 0)],
)
async def test_what_a_child_that_failed_does_to_its_parent(
    queue: Queue, start_worker: Any, until: Any, policy: Any, state: str, failures: int
) -> None:
    seen: list[dict[str, str]] = []

    async def handle(job: Job) -> None:
        if job.name == "child":
            raise ValueError("torn")
        seen.append(await job.children_failures())

    flow = await queue.add_flow(
        FlowJob("parent", children=[FlowJob("child", options={"attempts": 1}, on_failure=policy)])
    )
    await start_worker(handle)
    await until(lambda: _is(flow.job, state))
    if state == "failed":
        with pytest.raises(JobFailed, match=f"child bull:emails:{flow.children[0].job.id} failed"):
            await flow.job.result(timeout=1)
    else:
        assert [list(reasons.values()) for reasons in seen] == [["torn"] * failures]


async def _is(job: Job, state: str) -> bool:
    return await job.state() == state


async def test_without_a_policy_the_parent_waits_until_the_child_is_retried(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    healthy = False

    async def handle(job: Job) -> str:
        if job.name == "child" and not healthy:
            raise ValueError("torn")
        return "fine"

    flow = await queue.add_flow(FlowJob("parent", children=[FlowJob("child", options={"attempts": 1})]))
    child = flow.children[0].job
    await start_worker(handle)
    await until(lambda: _is(child, "failed"))
    assert await flow.job.state() == "waiting-children"
    healthy = True
    await child.retry()
    assert await flow.job.result(timeout=5) == "fine"


async def test_a_removed_child_is_not_waited_for(queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> str:
        return "done"

    flow = await queue.add_flow(FlowJob("parent", children=[FlowJob("child", options={"delay": 60})]))
    await start_worker(handle)
    assert await flow.children[0].job.remove()
    assert await flow.job.result(timeout=5) == "done"


async def test_a_removed_parent_takes_all_below_it_along_in_whatever_queue(queue: Queue, redis_url: str) -> None:
    async with Queue("other", redis=redis_url) as other:
        below = FlowJob("leaf", queue="other")
        flow = await queue.add_flow(FlowJob("root", children=[FlowJob("mid", children=[below, below]), below]))
        apart = await other.add("apart", {})
        assert await flow.job.remove()
        assert await other.redis.lrange(other.keys.wait, 0, -1) == [apart.id.encode()]
        left = {key.decode().rpartition(":")[2] for key in await queue.redis.keys("bull:emails:*")}
        assert left <= {"id", "meta", "events", "marker"}
        assert len(await other.redis.keys("bull:other:*-*")) == 0


async def test_a_parent_with_a_running_job_below_it_stays_whole(queue: Queue, start_worker: Any, until: Any) -> None:
    running, let_go = asyncio.Event(), asyncio.Event()

    async def handle(job: Job) -> None:
        running.set()
        await let_go.wait()

    tree = FlowJob(
        "root", children=[FlowJob("mid", children=[FlowJob("leaf")]), FlowJob("late", options={"delay": 60})]
    )
    flow = await queue.add_flow(tree)
    await start_worker(handle)
    await running.wait()
    assert not await flow.job.remove()
    assert await flow.children[1].job.state() == "delayed"
    assert (await queue.metrics()).waiting_children == 2
    # without those below it, nothing is in the way
    assert await flow.job.remove(children=False)
    assert await flow.children[1].job.state() == "delayed"
    let_go.set()


async def test_a_tree_too_large_for_one_call_goes_from_its_leaves_up_and_none_of_it_is_let_go(queue: Queue) -> None:
    middle = [FlowJob("middle", children=[FlowJob("leaf") for _ in range(3)]) for _ in range(3)]
    flow = await queue.add_flow(FlowJob("root", children=middle))
    assert await queue.scripts.call("remove_job", flow.job.id, "1", 4) == 2
    # what is above those that went is not let go
    assert (await queue.metrics()).waiting == 7 and await flow.job.state() == "waiting-children"
    assert await queue.scripts.remove_job(flow.job.id, True, 4) == 1
    assert {key.decode() for key in await queue.redis.keys("*")} <= {
        queue.keys.base + part for part in ("id", "events", "meta", "marker")
    }
    entries = [entry for _, entry in await queue.redis.xrange(queue.keys.events)]
    assert sum(entry[b"event"] == b"removed" for entry in entries) == 13


async def test_jobs_that_are_below_two_others_hide_none_of_those_beside_them(queue: Queue) -> None:
    jobs = {name: await queue.add(name, 1, job_id=name) for name in ("root", "m1", "m2", "a", "b", "c", "d")}
    for parent, children in (("root", ["m1", "m2"]), ("m1", ["a", "b"]), ("m2", ["a", "b", "c", "d"])):
        ranks = {queue.keys.job(child): rank for rank, child in enumerate(children)}
        await queue.redis.zadd(queue.keys.job(parent) + ":unsuccessful", ranks)
    assert await queue.scripts.remove_job("root", True, 6) == 1
    assert [name for name, job in jobs.items() if await job.state() != "unknown"] == []


async def test_a_tree_too_deep_for_one_call_is_refused_whole(queue: Queue) -> None:
    tree = FlowJob("leaf")
    for level in range(4):
        tree = FlowJob(f"level-{level}", children=[tree])
    flow = await queue.add_flow(tree)
    assert await queue.scripts.remove_job(flow.job.id, True, 3) == -7
    assert ((await queue.metrics()).waiting, (await queue.metrics()).waiting_children) == (1, 4)


async def test_a_wrong_job_deep_in_a_flow_is_named_and_nothing_is_added(queue: Queue) -> None:
    with pytest.raises(InvalidPayload, match="root > leaf: data"):
        await queue.add_flow(FlowJob("root", children=[FlowJob("leaf", {"v": float("nan")})]))
    with pytest.raises(InvalidOption, match=r"root > leaf: unknown option 'retries'"):
        await queue.add_flow(FlowJob("root", children=[FlowJob("leaf", options={"retries": 1})]))
    assert await queue.redis.keys("*") == []


@pytest.mark.parametrize("leaves", [1, 150])
async def test_what_is_below_a_job_for_which_another_stands_is_not_added(queue: Queue, leaves: int) -> None:
    held = await queue.add("n", 1, dedup="x", delay=60)
    below = [FlowJob("leaf", n) for n in range(leaves)]
    flow = await queue.add_flow(
        FlowJob("root", children=[FlowJob("middle", children=below, options={"dedup": "x"}), FlowJob("other")])
    )
    counts = await queue.metrics()
    assert (counts.waiting, counts.waiting_children, counts.delayed) == (1, 1, 1)
    assert await held.state() == "delayed" and await flow.job.state() == "waiting-children"
    assert len(await queue.redis.keys("*:dependencies")) == 1


async def test_a_parent_that_waits_for_its_children_cant_forget_them(queue: Queue, start_worker: Any) -> None:
    flow = await queue.add_flow(FlowJob("parent", children=[FlowJob("child", 7)]))
    with pytest.raises(CrewlineError, match="does not run"):
        await flow.job.forget_children()

    async def handle(job: Job) -> Any:
        return sorted((await job.children_values()).values()) or job.data

    await start_worker(handle)
    assert await flow.job.result(timeout=10) == [7]


async def test_children_are_forgotten_only_by_the_worker_that_has_the_lease(queue: Queue, start_worker: Any) -> None:
    seen: list[Any] = []

    async def handle(job: Job) -> Any:
        if job.name == "bad":
            raise ValueError("no")
        lock = queue.keys.job(job.id) + ":lock"
        token = await queue.redis.get(lock)
        await queue.redis.set(lock, "another's")
        try:
            await job.forget_children()
        except LeaseLost:
            seen.append(await queue.redis.scard(queue.keys.job(job.id) + ":dependencies"))
        await queue.redis.set(lock, token, px=30_000)
        return await job.forget_children()

    children = [
        FlowJob("bad", on_failure="continue", options={"attempts": 1}),
        FlowJob("later", options={"delay": 600}),
    ]
    flow = await queue.add_flow(FlowJob("parent", children=children))
    await start_worker(handle)
    assert await flow.job.result(timeout=10) == 1
    assert seen == [1]
