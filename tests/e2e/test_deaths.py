"""Workers that die in real pods: their jobs run again elsewhere at once; none is lost, none runs twice at a time."""

from __future__ import annotations

import json
import statistics
from typing import Any

import pytest
from crewline import Job, JobFailed, Queue

from tests.e2e.scene import Scene, condition, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SMALL = {"resources": {"limits": {"memory": "128Mi"}, "requests": {"memory": "64Mi"}}}
ROUNDS = 6
#: What a kill may take until its job runs again; leases would be over after 30 s.
MOST_SECONDS = 3.0


async def pool(scene: Scene, name: str, replicas: int, handler: str = "handlers:mortal", **worker: Any) -> Queue:
    """As many workers, with one slot each, that have nothing to do."""
    scaling = {"minReplicas": replicas, "maxReplicas": replicas}
    await scene.apply(jobqueue(name, handler, worker={"concurrency": 1, **worker}, scaling=scaling))
    queue = scene.queue(name)
    await all_idle(queue, replicas)
    return queue


async def all_idle(queue: Queue, number: int) -> None:
    async def idle() -> int:
        return sum(worker["busy"] == 0 and worker["silent"] < 2 for worker in await queue.workers())

    await until(f"{number} workers are idle", idle, lambda seen: seen == number)


async def moments(queue: Queue, what: str) -> dict[str, float]:
    """When each run began, or was last alive: by the job's id and the number of the run."""
    told = await queue.redis.hgetall(f"{what}:{queue.name}")
    return {run.decode(): float(at) for run, at in told.items()}


async def begun(queue: Queue, job: Job, run: int = 1) -> float:
    """When a run of a job began; waits for it."""

    async def look() -> float | None:
        return (await moments(queue, "began")).get(f"{job.id}:{run}")

    return float(await until(f"run {run} of job {job.id} has begun", look))


async def runs_of(queue: Queue) -> dict[str, int]:
    """How often each job was begun with, once it is sure that no run began while another of its job was alive."""
    began, last = await moments(queue, "began"), await moments(queue, "last")
    for run, at in began.items():
        job, _, number = run.partition(":")
        assert number == "1" or at >= last.get(f"{job}:{int(number) - 1}", 0), f"run {run} began while another lived"
    return {job.decode(): int(count) for job, count in (await queue.redis.hgetall(f"starts:{queue.name}")).items()}


async def put_back(queue: Queue, job: Job) -> float:
    """When a job went back to those that wait."""
    events = await queue.redis.xrange(queue.keys.events)
    wanted = {b"event": b"waiting", b"jobId": job.id.encode(), b"prev": b"active"}
    (at,) = (event_id for event_id, fields in events if fields == wanted)
    return int(at.split(b"-")[0]) / 1000


async def where(queue: Queue, job: Job) -> str:
    """The pod that runs a job; waits until that is told."""

    async def look() -> str | None:
        return next((each["host"] for each in await queue.workers() if job.id in each["running"]), None)

    return str(await until(f"job {job.id} runs somewhere", look))


async def log(queue: Queue, job: Job) -> list[str]:
    return [line.decode() for line in await queue.redis.lrange(queue.keys.job(job.id) + ":logs", 0, -1)]


async def test_a_job_of_a_worker_that_was_oom_killed_runs_elsewhere_at_once_and_an_innocent_one_goes_on(
    scene: Scene, record_property: Any
) -> None:
    queue = await pool(scene, "hungry", 3, **SMALL)
    innocent = await queue.add("innocent", {"seconds": 100})
    await begun(queue, innocent)
    took, seen_after = [], []
    for _ in range(ROUNDS):
        eater = await queue.add("eater", {"first": "eat"})
        again = await begun(queue, eater, 2)
        # what it said last, some milliseconds before it was killed
        killed = (await moments(queue, "last"))[f"{eater.id}:1"]
        took.append(again - killed)
        seen_after.append(await put_back(queue, eater) - killed)
        await eater.result(timeout=60)
        (line,) = await log(queue, eater)
        assert line.startswith("crewline: OOMKilled in pod hungry-") and line.endswith("whose memory limit is 128Mi")
        degraded = condition(await scene.wait("hungry", "is there", bool), "Degraded")
        assert degraded["reason"] in ("", "AsExpected", "WorkerCrashing"), degraded

        async def two() -> int:
            return sum(worker["busy"] == 0 and worker["silent"] < 2 for worker in await queue.workers())

        await until("the others are back", two, lambda seen: seen == 2)
    told = f"{_shown(took)}; of these until it was handed back: {_shown(seen_after)}"
    record_property("oom_to_rerun", told)
    print(f"\nOOM-killed -> runs again elsewhere: {told}")
    await innocent.result(timeout=120)
    counts = await runs_of(queue)
    assert counts.pop(innocent.id) == 1 and set(counts.values()) == {2}
    assert "of its jobs handed back" in await scene.wait_event("hungry", "WorkerDied")
    assert statistics.median(took) <= MOST_SECONDS, told


async def test_a_job_whose_own_process_eats_all_memory_becomes_a_dead_letter_where_that_is_wished(scene: Scene) -> None:
    worker = SMALL | {"execution": "Process", "onOOM": "DeadLetter"}
    queue = await pool(scene, "greedy", 1, "handlers:mortal_child", **worker)
    job = await queue.add("eater", {})
    # its process alone with cgroup v1, all of its container with v2
    with pytest.raises(JobFailed, match="OOMKilled"):
        await job.result(timeout=60)
    letters = scene.queue("greedy-dlq")
    assert (await letters.metrics()).waiting == 1


async def test_a_pod_that_is_evicted_and_killed_at_last_leaves_its_job_as_it_was(scene: Scene) -> None:
    queue = await pool(scene, "evicted", 1)
    job = await queue.add("deaf", {"first": "block"})
    await begun(queue, job)
    (pod,) = await scene.pods("evicted")
    eviction = {
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod["metadata"]["name"], "namespace": scene.namespace},
    }  # fmt: skip
    path = f"/api/v1/namespaces/{scene.namespace}/pods/{pod['metadata']['name']}/eviction"
    await scene.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    await job.result(timeout=90)
    assert await log(queue, job) == [f"crewline: pod {pod['metadata']['name']} was evicted (EvictionByEvictionAPI)"]
    assert await queue.redis.hmget(queue.keys.job(job.id), "stc", "suspect") == [None, None]
    assert await runs_of(queue) == {job.id: 2}
    assert "was evicted" in await scene.wait_event("evicted", "WorkerDied")


async def test_a_pod_that_is_deleted_by_force_loses_no_job_and_runs_none_twice_at_a_time(scene: Scene) -> None:
    queue = await pool(scene, "forced", 2)
    jobs = [await queue.add("long", {"seconds": 20}) for _ in range(2)]
    for job in jobs:
        await begun(queue, job)
    pod = await where(queue, jobs[0])
    await scene.kubectl("delete", "pod", pod, "--force", "--grace-period=0")
    for job in jobs:
        await job.result(timeout=90)
    counts = await runs_of(queue)
    assert counts == {jobs[0].id: 2, jobs[1].id: 1}


async def test_jobs_of_the_container_that_was_started_in_place_stay_with_it_though_the_operator_comes_late(
    scene: Scene,
) -> None:
    queue = await pool(scene, "phoenix", 1)
    async with scene.without_operator():
        dying = await queue.add("dying", {"first": "exit"})
        await begun(queue, dying)
        living = await queue.add("living", {"seconds": 25})
        at = await begun(queue, living)
    # What the dead one ran waits for the only slot; it is told of its cause at once.
    (line,) = await until("the operator has handed it back", lambda: log(queue, dying))
    seconds, micros = await queue.redis.time()
    (pod,) = await scene.pods("phoenix")
    assert line.startswith(f"crewline: the worker in pod {pod['metadata']['name']} ended with exit code 3: ")
    assert seconds + micros / 1e6 - at < 20, "its lease has not decided"
    await living.result(timeout=60)
    await dying.result(timeout=60)
    assert await runs_of(queue) == {dying.id: 2, living.id: 1}


def _shown(seconds: list[float]) -> str:
    return f"n={len(seconds)}, median {statistics.median(seconds):.2f} s, max {max(seconds):.2f} s"
