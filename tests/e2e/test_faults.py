"""What may happen to a running Crewline: workers, the operator and Redis die, people interfere. No job is lost."""

from typing import Any

import pytest
from crewline import Job, Queue

from tests.e2e.scene import Object, Scene, condition, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Kills the worker in a container without a word; the init process before it only passes signals on.
KILL = "kill -9 $(cat /proc/1/task/1/children)"


async def results(queue: Queue, jobs: list[Job], seconds: float = 90) -> list[Any]:
    """What the jobs returned; each of them must have been done."""
    return [await job.result(timeout=seconds) for job in jobs]


async def test_a_job_whose_worker_is_killed_is_done_by_another_and_keeps_its_attempts(scene: Scene) -> None:
    worker = {"concurrency": 1, "env": [{"name": "CREWLINE_LEASE_SECONDS", "value": "3"}]}
    scaling = {"minReplicas": 2, "maxReplicas": 2}
    await scene.apply(jobqueue("victims", "handlers:gated", worker=worker, scaling=scaling))
    queue = scene.queue("victims")
    jobs = [await queue.add("work", {"number": number}, attempts=1) for number in range(4)]
    at_work = await scene.wait("victims", "runs two jobs", lambda seen: len(seen["status"].get("running", ())) == 2)
    victim = at_work["status"]["running"][0]
    await scene.kubectl("exec", victim["worker"], "--", "sh", "-c", KILL)
    # Its successor must be another pod, not the same one with a new process.
    await scene.kubectl("delete", "pod", victim["worker"], "--force", "--grace-period=0", "--wait=false")

    await scene.open_gate("victims")
    done = await results(queue, jobs)
    killed = await queue.get_job(victim["id"])
    assert killed
    assert killed.return_value["pod"] != victim["worker"]
    assert (killed.attempts_made, killed.attempts_started, killed.stalled_count) == (1, 2, 1)
    counts = await queue.metrics()
    assert (counts.completed, counts.failed, counts.dead, counts.waiting, counts.active) == (len(done), 0, 0, 0, 0)


async def test_an_operator_that_is_killed_in_the_middle_of_scaling_converges_when_it_is_back(scene: Scene) -> None:
    scaling = {"target": {"jobsPerReplica": 1}, "maxReplicas": 3, "idleSeconds": 2}
    await scene.apply(jobqueue("orphans", "handlers:gated", worker={"concurrency": 1}, scaling=scaling))
    await scene.wait_condition("orphans", "Ready", "ScaledToZero")
    queue = scene.queue("orphans")
    jobs = [await queue.add("work", {})]
    await until("scaling has begun", lambda: scene.replicas("orphans"))
    await scene.restart_operator()
    jobs += [await queue.add("work", {}) for _ in range(5)]

    await scene.wait("orphans", "has all its workers", lambda seen: seen["status"]["ready"] == "3/3")
    await scene.open_gate("orphans")
    await results(queue, jobs)
    done = await scene.wait("orphans", "sleeps again", lambda seen: seen["status"]["ready"] == "0/0")
    assert done["status"]["counts"]["completed"] == len(jobs)
    assert condition(done, "Degraded")["status"] == "False"
    await until("no pod is left", lambda: scene.pods("orphans"), lambda pods: pods == [])


async def test_a_restarted_redis_has_all_jobs_and_work_goes_on(scene: Scene) -> None:
    await scene.apply(jobqueue("durable", "handlers:gated", worker={"concurrency": 1}, scaling={"maxReplicas": 1}))
    queue = scene.queue("durable")
    jobs = [await queue.add("work", {}) for _ in range(5)]
    before = await scene.wait("durable", "runs a job", lambda seen: seen["status"]["counts"]["active"] == 1)
    later = await queue.add("later", {"kept": True}, delay=3600)

    redis = await scene.get("Pod", "redis-0", "v1")
    await scene.kubectl("delete", "pod", "redis-0", "--wait=false")
    gone = await scene.wait_condition("durable", "RedisReachable", "RedisUnreachable")
    assert "redis" in gone["message"]

    await scene.wait_condition("durable", "RedisReachable", "Connected")
    after = await scene.get("JobQueue", "durable")
    # A demand that could not be read scaled nothing.
    assert after and after["status"]["lastDecision"] == before["status"]["lastDecision"]
    successor = await scene.get("Pod", "redis-0", "v1")
    assert redis and successor and redis["metadata"]["uid"] != successor["metadata"]["uid"]
    await until("Redis answers here, too", lambda: scene.redis_answers("durable"))
    await scene.open_gate("durable")
    jobs.append(await queue.add("work", {}))
    await results(queue, jobs)
    held = [await queue.get_job(job.id) for job in jobs]
    assert [job.attempts_made for job in held if job] == [1] * len(jobs)
    kept = await queue.get_job(later.id)
    assert kept and kept.data == {"kept": True}
    counts = await queue.metrics()
    assert (counts.completed, counts.failed, counts.delayed) == (len(jobs), 0, 1)
    await scene.wait_event("durable", "RedisRecovered")


async def test_a_deleted_jobqueue_takes_its_workers_along_and_leaves_its_jobs(scene: Scene) -> None:
    forgotten = jobqueue("forgotten", scaling={"minReplicas": 1})
    await scene.apply(forgotten)
    queue = scene.queue("forgotten")
    done = await queue.add("hello", {})
    await done.result(timeout=60)
    await scene.apply(jobqueue("forgotten", paused=True, scaling={"minReplicas": 1}))
    await until("the queue is paused", queue.metrics, lambda counts: counts.paused)
    waiting, later = await queue.add("hello", {"kept": 1}), await queue.add("hello", {"kept": 2}, delay=3600)

    await scene.delete("JobQueue", "forgotten")

    async def children() -> list[Object | None]:
        kinds = (("Deployment", "apps/v1"), ("ServiceAccount", "v1"))
        found = [await scene.get(kind, "forgotten", version) for kind, version in kinds]
        return [child for child in found if child] + await scene.pods("forgotten")

    await until("all children are gone", children, lambda left: left == [])
    counts = await queue.metrics()
    assert (counts.waiting, counts.delayed, counts.completed) == (1, 1, 1)
    assert [await job.state() for job in (done, waiting, later)] == ["completed", "waiting", "delayed"]

    # The same JobQueue again goes on where the first one ended.
    await queue.resume()
    await scene.apply(forgotten)
    assert (await waiting.result(timeout=60))["data"] == {"kept": 1}


async def test_what_people_change_by_hand_is_put_right(scene: Scene) -> None:
    # An image that is not there: what is put right is the Deployment, no pod need run for it.
    worker = {"image": "localhost/crewline-worker:absent", "imagePullPolicy": "Never"}
    await scene.apply(jobqueue("drifting", worker=worker, scaling={"minReplicas": 1}))
    first = await until("there is a Deployment", lambda: scene.get("Deployment", "drifting", "apps/v1"))

    await scene.kubectl("scale", "deployment", "drifting", "--replicas=3")
    await until("one worker is wanted again", lambda: scene.replicas("drifting"), lambda replicas: replicas == 1)

    await scene.kubectl("set", "env", "deployment/drifting", "CREWLINE_QUEUE=another")
    await until(
        "the environment is right again",
        lambda: environment(scene, "drifting"),
        lambda env: env["CREWLINE_QUEUE"] == "drifting",
    )

    await scene.kubectl("delete", "deployment", "drifting")
    second = await until("there is a Deployment again", lambda: scene.get("Deployment", "drifting", "apps/v1"))
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert second["spec"]["replicas"] == 1


async def environment(scene: Scene, name: str) -> dict[str, str]:
    deployment = await scene.get("Deployment", name, "apps/v1")
    assert deployment
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


async def test_a_queue_whose_jobqueue_went_while_no_operator_ran_is_given_to_the_next(scene: Scene) -> None:
    await scene.apply(jobqueue("went", queue="inherited"))
    await scene.wait_condition("went", "Ready", "ScaledToZero")
    async with scene.without_operator():
        await scene.delete("JobQueue", "went")
        await scene.apply(jobqueue("heir", queue="inherited"))
    await scene.wait_condition("heir", "Ready", "ScaledToZero")
    job = await scene.queue("inherited").add("hello", {"kept": 1})
    assert (await job.result(timeout=60))["data"] == {"kept": 1}
