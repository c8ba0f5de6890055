"""A JobQueue's life: from zero with the first job, out with the demand, back when idle, and what one sees of it."""

import re
import time

import pytest

from tests.e2e.scene import Scene, condition, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_first_job_wakes_a_queue_that_sleeps_at_zero_and_idleness_puts_it_to_sleep_again(
    scene: Scene,
) -> None:
    await scene.apply(jobqueue("sleeper", scaling={"idleSeconds": 2}))
    await scene.wait_condition("sleeper", "Ready", "ScaledToZero")
    assert await scene.replicas("sleeper") == 0
    assert await scene.pods("sleeper") == []

    job = await scene.queue("sleeper").add("hello", {"to": "a@example.com"})
    began = time.monotonic()
    await until("replicas are patched", lambda: scene.replicas("sleeper"), seconds=30)
    patched_seconds = time.monotonic() - began
    assert (await job.result(timeout=60))["data"] == {"to": "a@example.com"}
    print(f"first job -> replicas patched: {patched_seconds:.2f} s, -> done: {time.monotonic() - began:.2f} s")
    assert "0 -> 1 workers: waiting 1, active 0: 1 job / 10 per replica" in await scene.wait_event(
        "sleeper", "ScaledUp"
    )

    asleep = await scene.wait("sleeper", "sleeps", lambda seen: seen["status"]["ready"] == "0/0")
    await until("no pod is left", lambda: scene.pods("sleeper"), lambda pods: pods == [])
    assert asleep["status"]["counts"]["completed"] == 1
    assert asleep["status"]["lastDecision"] | {"time": ""} == {
        "time": "",
        "from": 1,
        "to": 0,
        "reason": "no jobs for 2 s -> 0 replicas",
    }
    assert condition(asleep, "Ready")["reason"] == "ScaledToZero"
    assert await scene.wait_event("sleeper", "ScaledDown") == "1 -> 0 workers: no jobs for 2 s -> 0 replicas"


async def test_a_queue_scales_out_with_its_demand_up_to_max_and_shows_what_runs(scene: Scene) -> None:
    await scene.apply(
        jobqueue(
            "crowd",
            "handlers:gated",
            worker={"concurrency": 1},
            scaling={"target": {"jobsPerReplica": 2}, "maxReplicas": 3},
        )
    )
    queue = scene.queue("crowd")
    await queue.add_bulk([("work", {"number": number}) for number in range(10)])
    await queue.add("later", {}, delay=3600)
    at_work = await scene.wait(
        "crowd",
        "has three workers with a job each",
        lambda seen: (
            seen["status"]["ready"] == "3/3"
            and [run.get("progress", {}).get("of") for run in seen["status"].get("running", ())] == [2, 2, 2]
        ),
    )
    status = at_work["status"]
    counts = {"waiting": 7, "active": 3, "delayed": 1, "completed": 0, "failed": 0, "dead": 0}
    assert status["counts"] == counts
    assert status["observedGeneration"] == at_work["metadata"]["generation"]
    assert (status["replicas"], status["readyReplicas"], status["desiredReplicas"]) == (3, 3, 3)
    assert status["selector"] == "crewline.dev/jobqueue=crowd"
    assert status["lastDecision"]["to"] == 3
    assert "/ 2 per replica, maxReplicas 3 -> 3 replicas" in status["lastDecision"]["reason"]
    pods = {pod["metadata"]["name"] for pod in await scene.pods("crowd")}
    assert {run["worker"] for run in status["running"]} == pods
    assert {run["progress"]["pod"] for run in status["running"]} == pods
    assert {run["name"] for run in status["running"]} == {"work"}

    header, row = (await scene.kubectl("get", "jobqueues", "crowd")).splitlines()
    assert header.split() == [
        "NAME",
        "STATUS",
        "READY",
        "WAITING",
        "ACTIVE",
        "DELAYED",
        "FAILED",
        "DEAD",
        "OLDEST",
        "AGE",
    ]
    assert row.split()[:8] == ["crowd", "Ready", "3/3", "7", "3", "1", "0", "0"]
    selected = await scene.kubectl("get", "jobqueues", "--field-selector=status.summary=Ready,status.queue=crowd")
    assert "crowd" in selected
    wide = await scene.kubectl("get", "jobqueues", "crowd", "-o", "wide")
    assert "maxReplicas 3 -> 3 replicas" in wide
    described = await scene.kubectl("describe", "jobqueue", "crowd")
    assert re.search(r"ScaledUp .*\d -> 3 workers: .* 2 per replica, maxReplicas 3 -> 3 replicas", described)
    for explained in ("all workers are ready", "nothing is wrong", "redis.*6379/0 answers", "the demand decides"):
        assert re.search(explained, described), described

    await scene.open_gate("crowd")
    done = await scene.wait(
        "crowd",
        "sleeps with its jobs done",
        lambda seen: seen["status"]["ready"] == "0/0" and "running" not in seen["status"],
    )
    assert done["status"]["counts"] == counts | {"waiting": 0, "active": 0, "completed": 10}


async def test_a_paused_queue_keeps_its_jobs_until_it_is_resumed(scene: Scene) -> None:
    await scene.apply(jobqueue("resting", paused=True))
    await scene.wait_condition("resting", "Paused", "SpecPaused")
    queue = scene.queue("resting")
    await until("Redis knows of the pause", queue.metrics, lambda seen: seen.paused)
    job = await queue.add("hello", {})
    resting = await scene.wait("resting", "counts the job", lambda seen: seen["status"]["counts"]["waiting"] == 1)
    assert (resting["status"]["summary"], condition(resting, "Ready")["status"]) == ("Paused", "True")
    assert resting["status"]["ready"] == "0/0"
    await scene.wait_event("resting", "QueuePaused")

    await scene.apply(jobqueue("resting", paused=False))
    assert (await job.result(timeout=60))["data"] == {}
    await scene.wait_condition("resting", "Paused", "NotPaused")
    await scene.wait_event("resting", "QueueResumed")


async def test_kubectl_scale_decides_in_external_mode_within_the_bounds(scene: Scene) -> None:
    await scene.apply(jobqueue("steered", scaling={"mode": "External", "maxReplicas": 2}))
    await scene.wait_condition("steered", "ScalingActive", "External")
    assert await scene.replicas("steered") == 0
    await scene.queue("steered").add_bulk([("hello", {})] * 30)

    for asked, given in (("1", 1), ("5", 2), ("0", 0)):
        await scene.kubectl("scale", "jobqueue", "steered", f"--replicas={asked}")
        await scene.wait("steered", f"has {given} workers", lambda seen: seen["status"]["ready"] == f"{given}/{given}")  # noqa: B023
        assert await scene.replicas("steered") == given
    scaled = await scene.get("JobQueue", "steered")
    assert scaled and scaled["status"]["lastDecision"]["reason"] == "spec.replicas is 0"
    path = f"/apis/crewline.dev/v1alpha1/namespaces/{scene.namespace}/jobqueues/steered/scale"
    assert '"selector":"crewline.dev/jobqueue=steered"' in await scene.kubectl("get", "--raw", path)


async def test_a_held_number_stays_whatever_comes_and_a_latency_objective_explains_itself(scene: Scene) -> None:
    await scene.apply(jobqueue("held", scaling={"hold": True, "target": {"latencyObjectiveSeconds": 5}}))
    await scene.wait_condition("held", "ScalingActive", "Held")
    jobs = await scene.queue("held").add_bulk([("hello", {})] * 30)
    await scene.wait("held", "counts the jobs", lambda seen: seen["status"]["counts"]["waiting"] == 30)
    assert await scene.replicas("held") == 0

    await scene.apply(jobqueue("held", scaling={"target": {"latencyObjectiveSeconds": 5}}))
    assert (await jobs[-1].result(timeout=60))["data"] == {}
    told = "0 -> 1 workers: waiting 30, active 0: no job has run yet that tells how long one takes -> 1 replica"
    await scene.wait_event("held", "ScaledUp")
    # Where its pod took long to start there is another decision by now.
    assert told in await scene.kubectl("get", "events", "--field-selector=involvedObject.name=held,reason=ScaledUp")
    asleep = await scene.wait("held", "sleeps", lambda seen: seen["status"]["ready"] == "0/0")
    assert condition(asleep, "ScalingActive")["reason"] == "Operator"

    # By now it is known how long a job takes.
    await scene.queue("held").add_bulk([("hello", {})] * 3)
    again = await scene.wait("held", "wakes", lambda seen: seen["status"]["lastDecision"]["to"] == 1)
    reason = again["status"]["lastDecision"]["reason"]
    assert re.search(r": [\d.e-]+ jobs/s x [\d.e-]+ s( \+ .*)? = [\d.e-]+ slots / 10 per replica -> 1 replica$", reason)
