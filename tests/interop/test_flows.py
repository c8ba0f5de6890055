"""Flows across engines: one side adds, the other works, and a parent gets its children's results from either."""

from __future__ import annotations

import pytest
from crewline import FlowJob, Queue

from tests.interop.peers import Peer, until
from tests.interop.play import our_worker


def _their_flow(name: str, children: list[dict], **options: object) -> dict:
    return {"name": "sum", "queueName": name, "data": {"returnsChildren": True}, "opts": options, "children": children}


def _their_child(name: str, value: int, **data: object) -> dict:
    return {"name": "part", "queueName": name, "data": {"returns": value, **data}}


async def test_we_run_their_flow_and_the_parent_gets_its_childrens_results(node: Peer, name: str, url: str) -> None:
    flows = await node.open("FlowProducer", name)
    theirs = await node.open("Queue", name)
    root = await flows("add", _their_flow(name, [_their_child(name, n) for n in (3, 1, 2)]))
    async with our_worker(name, url) as ours:
        await until(lambda: theirs.is_in("completed", root["id"]), "the parent completes")
        assert ours.names == ["part", "part", "part", "sum"]
    assert (await theirs.job(root["id"]))["returnvalue"] == [1, 2, 3]


async def test_they_run_our_flow_and_the_parent_gets_its_childrens_results(peer: Peer, name: str, queue: Queue) -> None:
    children = [FlowJob("part", {"returns": n}) for n in (3, 1, 2)]
    root = await queue.add_flow(FlowJob("sum", {"returnsChildren": True}, children))
    worker = await peer.open("Worker", name)
    assert await root.job.result(timeout=15) == [1, 2, 3]
    await peer.heard()
    assert worker.handled[-1] == root.job.id


async def test_a_flow_over_two_queues_is_worked_by_both_sides(node: Peer, name: str, url: str, queue: Queue) -> None:
    """Their worker runs the children, ours the parent, and the other way round."""
    parts = f"{name}-parts"
    await node.open("Worker", parts)
    async with our_worker(name, url):
        root = await queue.add_flow(
            FlowJob("sum", {"returnsChildren": True}, [FlowJob("part", {"returns": n}, queue=parts) for n in (5, 4)])
        )
        assert await root.job.result(timeout=15) == [4, 5]
    await node.open("Worker", name)
    async with our_worker(f"{name}-ours", url):
        flows = await node.open("FlowProducer", name)
        theirs = await node.open("Queue", name)
        added = await flows("add", _their_flow(name, [_their_child(f"{name}-ours", n) for n in (7, 6)]))
        await until(lambda: theirs.is_in("completed", added["id"]), "the parent completes")
        assert (await theirs.job(added["id"]))["returnvalue"] == [6, 7]


@pytest.mark.parametrize(
    ("policy", "state", "result"),
    [
        ("failParentOnFailure", "failed", None),
        ("ignoreDependencyOnFailure", "completed", [1]),
        ("removeDependencyOnFailure", "completed", [1]),
    ],
)
async def test_a_childs_failure_on_our_worker_does_to_their_parent_what_they_asked(
    policy: str, state: str, result: list[int] | None, node: Peer, name: str, url: str
) -> None:
    flows = await node.open("FlowProducer", name)
    theirs = await node.open("Queue", name)
    bad = {"name": "bad", "queueName": name, "data": {"fails": 9}, "opts": {policy: True}}
    root = await flows("add", _their_flow(name, [_their_child(name, 1), bad]))
    async with our_worker(name, url, concurrency=1):
        await until(lambda: theirs.is_in(state, root["id"]), f"the parent is {state}")
    assert (await theirs.job(root["id"]))["returnvalue"] == result


@pytest.mark.parametrize(
    ("part", "attempts", "ends"),
    [
        ("unsuccessful", 1, ["failed", "retries-exhausted"]),
        ("unsuccessful", 3, ["failed"]),
        ("dependencies", 1, ["failed", "retries-exhausted"]),
    ],
)
@pytest.mark.parametrize("ours", [False, True])
async def test_a_result_that_is_refused_for_its_children_ends_with_the_events_that_theirs_has(
    part: str, attempts: int, ends: list[str], ours: bool, node: Peer, name: str, url: str, queue: Queue
) -> None:
    theirs = await node.open("Queue", name)
    events = await node.open("QueueEvents", name, lastEventId="0-0")
    job_id = (await theirs("add", "sum", {"returns": 1}, {"attempts": attempts}))["id"]
    key = f"{queue.keys.job(job_id)}:{part}"
    child = queue.keys.job("child")
    await (queue.redis.sadd(key, child) if part == "dependencies" else queue.redis.zadd(key, {child: 1}))
    if ours:
        async with our_worker(name, url):
            await until(lambda: events.said("drained"), "the drained queue told")
    else:
        await node.open("Worker", name)
        await until(lambda: events.said("drained"), "the drained queue told")
    told = [event["event"] for event in events.events if event.get("jobId") == job_id]
    assert told == ["added", "waiting", "active", *ends]
