"""A JobQueue whose spec names another queue: nothing is left behind in the old one, whichever operator sees to it."""

from __future__ import annotations

import pytest
from crewline_operator.model.marks import marks_key
from crewline_operator.model.owner import claim_key

from tests.e2e.inside import Inside
from tests.e2e.scene import API, Object, condition, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

YEARLY: Object = {
    "apiVersion": API,
    "kind": "ScheduledJob",
    "metadata": {"name": "yearly"},
    "spec": {"queueRef": {"name": "mover"}, "schedule": "0 0 1 7 *", "job": {"name": "yearly"}},
}


async def test_the_old_queue_is_served_until_it_is_empty_and_the_placed_run_moves(inside: Inside) -> None:
    scene = inside.scene
    old, new = scene.queue("old"), scene.queue("new")

    async def delayed() -> tuple[int, int]:
        return (await old.metrics()).delayed, (await new.metrics()).delayed

    async with inside.operator():
        await scene.apply(inside.jobqueue("mover", queue="old"), YEARLY)
        await until("the next run is placed", delayed, lambda seen: seen == (1, 0), seconds=20)
        job = await old.add("work", {}, delay=3600)
        await scene.apply(inside.jobqueue("mover", queue="new"))
        told = await scene.wait_condition("mover", "Ready", "QueueChanged", seconds=20)
        assert "has jobs that have not ended and would be left there" in told["message"], told
        # What follows it goes on in the queue that is served.
        await scene.apply(YEARLY | {"spec": YEARLY["spec"] | {"schedule": "0 0 2 7 *"}})
        await scene.wait("yearly", "is placed anew", lambda seen: "07-02" in seen["status"]["nextScheduleTime"],
                         kind="ScheduledJob", seconds=20)  # fmt: skip
        assert await delayed() == (2, 0)

    async with inside.operator():
        assert await old.remove(job.id)
        moved = await scene.wait(
            "mover", "serves the other queue",
            lambda seen: seen["status"]["queue"] == "new" and condition(seen, "Ready")["status"] == "True", seconds=30,
        )  # fmt: skip
        assert moved["status"]["served"]["queue"] == "new"
        await until("the run is in the other queue", delayed, lambda seen: seen == (0, 1), seconds=20)
        assert not await old.redis.exists(claim_key("bull", "old"), marks_key("bull", "old"))
        await scene.wait_event("mover", "QueueMoved")
        deployment = await scene.get("Deployment", "mover", "apps/v1")
        assert deployment
        env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        assert {"name": "CREWLINE_QUEUE", "value": "new"} in env


async def test_a_redis_that_was_never_reached_is_left_without_asking_and_a_served_one_is_not(inside: Inside) -> None:
    scene = inside.scene
    nowhere = {"url": "redis://127.0.0.1:1/0"}
    async with inside.operator():
        await scene.apply(inside.jobqueue("typo", redis=nowhere))
        await scene.wait_condition("typo", "Ready", "RedisUnreachable", seconds=20)
        await scene.apply(inside.jobqueue("typo"))
        await scene.wait_condition("typo", "Ready", "ScaledToZero", seconds=20)

        await scene.queue("typo").add("work", {}, delay=3600)
        await scene.apply(inside.jobqueue("typo", redis=nowhere))
        told = await scene.wait_condition("typo", "Ready", "QueueChanged", seconds=20)
        assert "of Redis 127.0.0.1:1/0, but queue 'typo'" in told["message"]
        await scene.apply(inside.jobqueue("typo"))
        await scene.wait_condition("typo", "Ready", "ScaledToZero", seconds=20)
