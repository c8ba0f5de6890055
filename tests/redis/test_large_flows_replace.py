"""A part of a large flow takes the place of a delayed job: that stays until all of the flow is there."""

from __future__ import annotations

from typing import Any

import pytest
from crewline import Dedup, FlowJob, Job, Queue

from tests.redis.test_large_flows import Dying


@pytest.fixture
def dying(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> Dying:
    return Dying(queue, monkeypatch)


def of_parts(leaves: int) -> FlowJob:
    """A tree that goes in parts, whose first leaf replaces a delayed job."""
    dedup = Dedup("x", ttl_seconds=600, extend=True, replace=True)
    options: list[dict[str, Any]] = [{"dedup": dedup, "job_id": "new"}, *[{"delay": 600}] * (leaves - 1)]
    return FlowJob("root", children=[FlowJob("leaf", n, options=options[n]) for n in range(leaves)],
                   options={"job_id": "root"})  # fmt: skip


async def old_job(queue: Queue, **options: Any) -> Job:
    return await queue.add("old", {"kept": True}, job_id="old", delay=60, dedup=Dedup("x", replace=True), **options)


async def test_a_job_that_a_part_replaces_goes_with_the_last_part(queue: Queue) -> None:
    old = await old_job(queue)
    begun = await queue.last_event_id()
    await queue.add_flow(of_parts(120))
    assert await old.state() == "unknown"
    assert await queue.redis.get("bull:emails:de:x") == b"new"
    assert await queue.job_state("new") == "waiting"
    told = await queue.redis.xrange(queue.keys.events, f"({begun}")
    names = [(fields[b"event"], fields[b"jobId"]) for _, fields in told if fields[b"jobId"] in (b"old", b"new")]
    assert names.index((b"removed", b"old")) < names.index((b"waiting", b"new"))


@pytest.mark.parametrize("child", [False, True])
async def test_a_job_that_a_part_was_to_replace_stays_where_the_tree_is_never_all_there(
    queue: Queue, dying: Dying, child: bool
) -> None:
    if child:
        (node,) = (
            await queue.add_flow(
                FlowJob("above", options={"job_id": "above"}, children=[
                    FlowJob("old", {"kept": True}, options={
                        "job_id": "old", "delay": 60, "dedup": Dedup("x", replace=True)
                    })
                ])
            )
        ).children  # fmt: skip
        old = node.job
    else:
        old = await old_job(queue)
    stored = await queue.redis.hgetall(queue.keys.job("old"))
    await dying.add(queue, of_parts(120), add_flow=1)
    assert await queue.job_state("new") == "waiting-children"
    assert (await queue.add("other", 1, dedup="x")).id == "new", "the id is the new one's meanwhile"
    await queue.settle_flows(older_than=0)
    assert await queue.job_state("new") == "unknown"
    assert await old.state() == "delayed"
    assert await queue.redis.hgetall(queue.keys.job("old")) == stored
    assert await queue.redis.get("bull:emails:de:x") == b"old"
    if child:
        assert await queue.job_state("above") == "waiting-children"
    newer = await queue.add("newer", 1, delay=60, dedup=Dedup("x", replace=True))
    assert newer.added and await old.state() == "unknown"


async def test_a_job_that_has_begun_before_the_tree_was_all_there_is_not_replaced(queue: Queue, dying: Dying) -> None:
    old = await old_job(queue)
    await dying.add(queue, of_parts(120), add_flow=1)
    await old.promote()
    await queue.add_flow(of_parts(120))
    assert await old.state() == "waiting"
    assert await queue.job_state("new") == "waiting"
    assert await queue.redis.get("bull:emails:de:x") == b"new"


async def test_a_deduplication_id_is_free_where_the_job_has_ended_that_a_lost_tree_was_to_replace(
    queue: Queue, dying: Dying
) -> None:
    old = await queue.add("old", 1, job_id="old", delay=60, dedup=Dedup("x", replace=True))
    tree = of_parts(120)
    tree.children[0].options["dedup"] = Dedup("x", replace=True)
    await dying.add(queue, tree, add_flow=1)
    await old.cancel()
    await queue.settle_flows(older_than=0)
    assert not await queue.redis.exists("bull:emails:de:x")
