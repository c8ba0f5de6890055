"""What running workers follow: a change of the spec reaches them in their pods, which stay as they are."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from tests.e2e.scene import Object, Scene, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Seconds from a changed spec to jobs that run by it: 2 on a quiet machine, since workers ask once a second.
FOLLOWED_SECONDS = 6.0


def follows(obj: Object) -> bool:
    """Whether all of two workers follow the newest spec."""
    return bool(obj["status"]["settings"] == {"generation": obj["metadata"]["generation"], "applied": "2/2"})


async def lives(scene: Scene, name: str) -> set[tuple[str, int]]:
    """Each pod and how often its container was started anew."""
    pods = await scene.pods(name)
    return {(pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]) for pod in pods}


async def test_running_workers_follow_a_changed_spec_and_no_pod_is_replaced(scene: Scene) -> None:
    def tuned(concurrency: int, **spec: Any) -> Object:
        scaling = {"minReplicas": 2, "maxReplicas": 2}
        return jobqueue("tuned", "handlers:gated", worker={"concurrency": concurrency}, scaling=scaling, **spec)

    async def active() -> int:
        return (await queue.metrics()).active

    queue = scene.queue("tuned")
    await scene.apply(tuned(2))
    await scene.wait("tuned", "tells that both workers follow it", follows)
    pods = await lives(scene, "tuned")
    assert len(pods) == 2
    await queue.add_bulk([("work", number) for number in range(40)])
    await until("as many run as the slots", active, lambda seen: seen == 4)

    await scene.apply(tuned(6))
    await until("as many run as there are slots now", active, lambda seen: seen == 12, FOLLOWED_SECONDS)
    await scene.wait("tuned", "tells that both workers follow it", follows)

    await scene.apply(tuned(1, limits={"concurrency": 1}, retention={"completed": {"count": 3}}))
    await scene.wait("tuned", "tells that both workers follow it", follows)
    assert await active() == 12, "what runs is not cut"
    assert await queue.redis.hget(queue.keys.meta, "concurrency") == b"1"
    # those that ran end, and from then on it is one at a time: the gate opens for all
    await scene.open_gate("tuned")
    await until("the limit holds", active, lambda seen: seen <= 1)
    await scene.apply(tuned(8))
    limit = functools.partial(queue.redis.hget, queue.keys.meta, "concurrency")
    await until("the limit is lifted", limit, lambda seen: seen is None)
    await until("all jobs are done", queue.metrics, lambda seen: seen.waiting + seen.active == 0)
    assert await lives(scene, "tuned") == pods


async def test_a_worker_that_is_made_later_follows_the_spec_before_its_first_job(scene: Scene) -> None:
    limited = {"worker": {"concurrency": 3}, "scaling": {"maxReplicas": 1}, "defaults": {"attempts": 1}}
    await scene.apply(jobqueue("later", "handlers:broken", **limited))
    queue = scene.queue("later")
    # of which nobody said how often it is to be tried: it would be three times, with a wait of a second
    job = await queue.add("welcome", {"to": "nobody"})
    await until("it has failed for good", job.state, lambda seen: seen == "failed")
    failed = await queue.get_job(job.id)
    assert failed and failed.attempts_made == 1
    (told,) = await queue.workers()
    assert told["slots"] == 3
