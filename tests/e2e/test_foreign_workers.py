"""A worker that is not Crewline's, the example's in Node: scaled from zero and back, and never cut off in a job."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from crewline import Job, Queue

from tests.cluster import images
from tests.cluster.fixtures import Cluster
from tests.cluster.paths import REPOSITORY
from tests.e2e.scene import Object, Scene, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLE = REPOSITORY / "examples" / "bullmq-worker" / "jobqueue.yaml"


@pytest.fixture(scope="module")
def image(cluster: Cluster) -> None:
    """The example's image, in the cluster."""
    images.load(cluster.provider, images.BULLMQ_WORKER)


def example(name: str, **spec: dict[str, Any]) -> Object:
    """The example under another name, one job at a time; of parts of its spec the given fields replace those there."""
    manifest: Object = yaml.safe_load(EXAMPLE.read_text())
    manifest["metadata"]["name"] = name
    manifest["spec"]["worker"]["concurrency"] = 1
    for part, fields in spec.items():
        manifest["spec"][part] |= fields
    return manifest


async def ran(queue: Queue, job: Job) -> list[int]:
    """How many starts a job had, and how many whole seconds it ran."""
    fields = await queue.redis.hmget(queue.keys.job(job.id), "ats", "processedOn", "finishedOn")
    starts, began, ended = (int(field) for field in fields)
    return [starts, (ended - began) // 1000]


async def test_it_is_scaled_from_zero_to_the_jobs_and_back(scene: Scene, image: None) -> None:
    await scene.apply(example("thumbs", scaling={"maxReplicas": 3, "idleSeconds": 3}))
    queue = scene.queue("thumbs")
    jobs = await queue.add_bulk([("resize", {"milliseconds": 6000}) for _ in range(3)])
    await until("all have a worker", queue.metrics, lambda counts: counts.active == 3)
    assert await scene.replicas("thumbs") == 3
    for job in jobs:
        await job.result(timeout=60)
    assert [await ran(queue, job) for job in jobs] == [[1, 6]] * 3
    await until("no replicas", lambda: scene.replicas("thumbs"), lambda seen: seen == 0)
    await until("no pods", lambda: scene.pods("thumbs"), lambda pods: pods == [])


async def test_one_that_is_told_to_end_finishes_its_job(scene: Scene, image: None) -> None:
    await scene.apply(example("frames", scaling={"mode": "External"}))
    queue = scene.queue("frames")
    jobs = await queue.add_bulk([("resize", {"milliseconds": 12000}) for _ in range(2)])
    await scene.kubectl("scale", "jobqueue", "frames", "--replicas=2")
    await until("both are busy", queue.metrics, lambda counts: counts.active == 2)
    await scene.kubectl("scale", "jobqueue", "frames", "--replicas=0")
    await until("both are to end", lambda: scene.pods("frames"), lambda pods: pods == [], 20)
    assert (await queue.metrics()).active == 2, "at once: nobody can ask them which of them is idle"
    for job in jobs:
        await job.result(timeout=60)
    assert [await ran(queue, job) for job in jobs] == [[1, 12]] * 2
