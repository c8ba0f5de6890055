"""Jobs that need more memory than their workers have run once more, in a larger worker that is there for them alone."""

from __future__ import annotations

from typing import Any

import pytest
from crewline import DeadLetters, Job, JobFailed, Queue

from tests.e2e.scene import Scene, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORKER = {
    "concurrency": 2,
    "resources": {"limits": {"memory": "128Mi"}, "requests": {"memory": "64Mi"}},
    "retryWith": {"memory": "512Mi"},
}


async def larger_pods(scene: Scene, name: str) -> list[dict[str, Any]]:
    return [pod for pod in await scene.pods(name) if pod["metadata"]["name"] == f"{name}-larger"]


async def start(scene: Scene, name: str, **worker: Any) -> Queue:
    scaling = {"minReplicas": 0, "maxReplicas": 1, "idleSeconds": 5}
    await scene.apply(jobqueue(name, "handlers:needs", worker=WORKER | worker, scaling=scaling))
    return scene.queue(name)


async def fields(queue: Queue, job: Job, *names: str) -> list[str | None]:
    found = await queue.redis.hmget(queue.keys.job(job.id), names)
    return [value.decode() if value is not None else None for value in found]


async def test_a_job_that_needs_more_memory_completes_in_a_larger_worker_and_its_neighbour_at_its_first_attempt(
    scene: Scene,
) -> None:
    queue = await start(scene, "roomy")
    # together in one worker, which dies
    neighbour, job = await queue.add_bulk([("n", {"mib": 1, "seconds": 8}), ("n", {"mib": 200})])
    result = await job.result(timeout=120)
    assert (result["eaten"], result["pod"]) == (200, "roomy-larger")
    (pod,) = await larger_pods(scene, "roomy")
    assert pod["spec"]["containers"][0]["resources"]["limits"]["memory"] == "512Mi"
    told = await neighbour.result(timeout=60)
    assert told["pod"].startswith("roomy-") and told["pod"] != "roomy-larger"
    assert await fields(queue, neighbour, "atm", "crashes", "larger") == ["1", None, None]
    assert await fields(queue, job, "atm", "larger", "suspect") == ["1", None, None]
    # it ends by itself, and nothing of it is left; the other worker is not kept for it either
    await until("the larger worker is gone", lambda: larger_pods(scene, "roomy"), lambda seen: not seen, seconds=60)
    await scene.wait("roomy", "sleeps", _sleeps, seconds=60)


async def test_a_job_that_dies_of_memory_in_the_larger_worker_too_is_a_dead_letter_that_tells_both(
    scene: Scene,
) -> None:
    queue = await start(scene, "glutton", execution="Async")
    job = await queue.add("n", {"mib": 800}, attempts=3)
    with pytest.raises(JobFailed, match=r"OOMKilled.*; before that, .*OOMKilled"):
        await job.result(timeout=120)
    (letter,) = await DeadLetters(queue).list()
    assert (letter.job_id, letter.attempts) == (job.id, 1)
    starts = await queue.redis.hget(f"starts:{queue.name}", job.id)
    assert starts is not None and int(starts) <= 3


def _sleeps(obj: dict[str, Any]) -> bool:
    return obj["status"]["summary"] == "Asleep" and "retryWith" not in obj["status"]
