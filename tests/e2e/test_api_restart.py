"""The API server dies and comes back, while workers work: no job notices, and the operator goes on where it was."""

from __future__ import annotations

import asyncio

import pytest

from tests.cluster.node import NodeCluster
from tests.e2e.scene import Scene, condition, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: How often it dies, each time in the middle of something else.
TIMES = 3


async def test_jobs_and_scaling_go_on_through_restarts_of_the_api_server(scene: Scene) -> None:
    provider = scene.cluster.provider
    if not isinstance(provider, NodeCluster):
        pytest.skip("only the API server of a cluster that is made here can be killed")
    scaling = {"target": {"jobsPerReplica": 5}, "maxReplicas": 3, "idleSeconds": 2}
    await scene.apply(jobqueue("outlive", "handlers:counted", worker={"concurrency": 2}, scaling=scaling))
    await scene.wait_condition("outlive", "Ready", "ScaledToZero")
    queue = scene.queue("outlive")
    added = 0
    for _ in range(TIMES):
        # while it scales out, then while it works, then while it is about to sleep
        await asyncio.to_thread(provider.restart_api)
        await until("there is a way to Redis again", lambda: scene.redis_answers("outlive"))
        added += len(await queue.add_bulk([("work", seconds) for seconds in [1, 3] * 8]))
        await until("workers are at it", queue.metrics, lambda seen: seen.active > 0)
    await until("all jobs are done", queue.metrics, lambda seen: seen.completed == added, 120)
    starts = await queue.redis.hgetall("starts:outlive")
    assert {int(count) for count in starts.values()} == {1} and len(starts) == added
    done = await scene.wait("outlive", "sleeps again", lambda seen: seen["status"]["ready"] == "0/0")
    assert done["status"]["counts"]["completed"] == added
    assert condition(done, "Degraded")["status"] == "False"
