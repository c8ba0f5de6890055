"""A ScheduledJob: on time, once each whoever dies meanwhile, and what its policies and its status say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.e2e.inside import Inside
from tests.e2e.scene import API, Object, Scene, condition, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVERY_SECONDS = 3


def scheduledjob(name: str, queue: str, schedule: str = f"*/{EVERY_SECONDS} * * * * *", **spec: Any) -> Object:
    wanted = {"queueRef": {"name": queue}, "schedule": schedule, "job": {"name": "tick", "data": {"n": 1}}} | spec
    return {"apiVersion": API, "kind": "ScheduledJob", "metadata": {"name": name}, "spec": wanted}


def run_seconds(job_id: str) -> int:
    """When the run of a job was due, in epoch seconds: its id says so."""
    milliseconds = int(job_id.rpartition("-")[2])
    assert milliseconds % 1000 == 0
    return milliseconds // 1000


async def completed_runs(scene: Scene, queue: str) -> list[int]:
    """When the completed runs were due, the earliest first."""
    keys = scene.queue(queue).keys
    ids = await scene.queue(queue).redis.zrange(keys.completed, 0, -1)
    return sorted(run_seconds(job_id.decode()) for job_id in ids)


async def assert_on_time(scene: Scene, queue: str) -> None:
    """No completed run began before its time, or so late that it was missed and made up for."""
    keys, redis = scene.queue(queue).keys, scene.queue(queue).redis
    for job_id in await redis.zrange(keys.completed, 0, -1):
        due = run_seconds(job_id.decode())
        assert due <= int(await redis.hget(keys.job(job_id.decode()), "processedOn")) / 1000 < due + EVERY_SECONDS


async def test_runs_come_on_time_once_each_and_the_status_tells_of_them(scene: Scene) -> None:
    await scene.apply(jobqueue("clock", scaling={"minReplicas": 1}))
    await scene.wait_condition("clock", "Ready", "WorkersReady")
    await scene.apply(scheduledjob("clock", "clock", timeZone="Europe/Berlin"))
    await until("three runs are done", lambda: completed_runs(scene, "clock"), lambda runs: len(runs) >= 3)
    runs = await completed_runs(scene, "clock")
    assert runs == list(range(runs[0], runs[0] + len(runs) * EVERY_SECONDS, EVERY_SECONDS))
    await assert_on_time(scene, "clock")

    obj = await scene.wait("clock", "has a result", lambda seen: "lastResult" in seen["status"], kind="ScheduledJob")
    status, uid = obj["status"], obj["metadata"]["uid"]
    assert status["lastResult"]["state"] == "completed"
    assert status["lastResult"]["id"].startswith(f"{uid}-")
    assert condition(obj, "Ready")["status"] == "True"
    last, following = (datetime.fromisoformat(status[f"{name}ScheduleTime"]) for name in ("last", "next"))
    assert (following - last).total_seconds() == EVERY_SECONDS
    assert status["placed"]["id"] == f"{uid}-{round(following.timestamp() * 1000)}"
    assert status["missedRuns"] == 0
    assert "was due at" in await scene.wait_event("clock", "JobScheduled", kind="ScheduledJob")
    row = (await scene.kubectl("get", "scheduledjobs", "clock", "--no-headers")).split()
    assert row[-2] == "completed"


async def test_while_no_operator_runs_the_next_run_is_on_time_and_afterwards_none_comes_twice(scene: Scene) -> None:
    await scene.apply(jobqueue("steady", scaling={"minReplicas": 1}))
    await scene.wait_condition("steady", "Ready", "WorkersReady")
    await scene.apply(scheduledjob("steady", "steady"))
    await until("a run is done", lambda: completed_runs(scene, "steady"))
    async with scene.without_operator():
        obj = await scene.get("ScheduledJob", "steady")
        assert obj
        placed = run_seconds(obj["status"]["placed"]["id"])
        await until("the placed run is done", lambda: completed_runs(scene, "steady"), lambda runs: placed in runs)
        before = await completed_runs(scene, "steady")
        # One more is there if the operator died after it had been to Redis and before it wrote the status.
        assert before[-1] <= placed + EVERY_SECONDS
        await assert_on_time(scene, "steady")
    await until("runs go on", lambda: completed_runs(scene, "steady"), lambda runs: len(runs) >= len(before) + 3)
    # The last run may still be on its way when the status is read: both tell of the same time once it is suspended.
    await scene.apply(scheduledjob("steady", "steady", suspend=True))
    obj = await scene.wait(
        "steady",
        "is suspended and at rest",
        lambda seen: condition(seen, "Suspended")["status"] == "True" and seen["status"]["activeCount"] == 0,
        kind="ScheduledJob",
    )
    runs = await completed_runs(scene, "steady")
    due = range(runs[0], runs[-1] + 1, EVERY_SECONDS)
    # An id is in Redis once, so a second run of the same time would show as one at an odd time.
    assert set(runs) <= set(due)
    assert len(due) - len(runs) == obj["status"]["missedRuns"]


async def test_suspending_takes_the_next_run_back_and_deleting_does_too(scene: Scene) -> None:
    await scene.apply(jobqueue("yearly"), scheduledjob("yearly", "yearly", "0 0 1 1 *"))
    queue = scene.queue("yearly")
    placed = await scene.wait("yearly", "is placed", lambda seen: "placed" in seen["status"], kind="ScheduledJob")
    job_id = placed["status"]["placed"]["id"]
    assert datetime.fromtimestamp(run_seconds(job_id), UTC).strftime("%m-%d %H:%M:%S") == "01-01 00:00:00"
    assert await queue.job_state(job_id) == "delayed"
    job = await queue.get_job(job_id)
    assert job and (job.name, job.data) == ("tick", {"n": 1})

    await scene.apply(scheduledjob("yearly", "yearly", "0 0 1 1 *", suspend=True))
    await scene.wait_condition("yearly", "Suspended", "Suspended", kind="ScheduledJob")
    assert await queue.job_state(job_id) == "unknown"

    await scene.apply(scheduledjob("yearly", "yearly", "0 0 1 1 *", suspend=False))
    await until("the run is placed again", lambda: queue.job_state(job_id), lambda state: state == "delayed")
    await scene.delete("ScheduledJob", "yearly")
    await until("the run is gone", lambda: queue.job_state(job_id), lambda state: state == "unknown")


async def test_forbid_skips_runs_while_one_is_active(scene: Scene) -> None:
    await scene.apply(
        jobqueue("single", "handlers:gated", scaling={"minReplicas": 1}),
        scheduledjob("single", "single", concurrencyPolicy="Forbid"),
    )
    obj = await scene.wait(
        "single", "skips two runs", lambda seen: seen["status"]["skippedRuns"] >= 2, kind="ScheduledJob"
    )
    assert obj["status"]["activeCount"] == 1
    assert "concurrencyPolicy is Forbid" in await scene.wait_event("single", "RunSkipped", kind="ScheduledJob")
    first = obj["status"]["active"][0]["id"]
    await scene.open_gate("single")
    await scene.wait(
        "single",
        "has its first result",
        lambda seen: seen["status"].get("lastResult", {}).get("state") == "completed",
        kind="ScheduledJob",
    )
    assert run_seconds(first) in await completed_runs(scene, "single")


async def test_replace_leaves_one_run_in_a_queue_without_workers(scene: Scene) -> None:
    await scene.apply(jobqueue("newest", paused=True), scheduledjob("newest", "newest", concurrencyPolicy="Replace"))
    seen = await scene.wait(
        "newest", "has added a run", lambda seen: "lastScheduleTime" in seen["status"], kind="ScheduledJob"
    )
    first = seen["status"]["active"][0]["id"]
    later = await scene.wait(
        "newest",
        "has replaced it",
        lambda seen: [run["id"] for run in seen["status"]["active"]] != [first],
        kind="ScheduledJob",
    )
    assert later["status"]["activeCount"] == 1
    assert await scene.queue("newest").job_state(first) == "unknown"
    assert (await scene.queue("newest").metrics()).waiting == 1


async def test_a_schedule_without_its_queue_waits_for_it(scene: Scene) -> None:
    await scene.apply(scheduledjob("early", "late", "0 0 1 1 *"))
    ready = await scene.wait_condition("early", "Ready", "QueueNotFound", kind="ScheduledJob")
    assert "there is no JobQueue 'late'" in ready["message"]
    await scene.apply(jobqueue("late"))
    await scene.wait_condition("early", "Ready", "Scheduled", kind="ScheduledJob")


async def test_a_scheduledjob_that_went_while_no_operator_ran_leaves_no_run_behind(scene: Scene) -> None:
    await scene.apply(jobqueue("orphaned"), scheduledjob("orphan", "orphaned", "0 0 1 1 *"))
    queue = scene.queue("orphaned")
    await scene.wait("orphan", "is placed", lambda seen: "placed" in seen["status"], kind="ScheduledJob")
    await scene.apply(scheduledjob("kept", "orphaned", "0 0 1 2 *"))
    kept = await scene.wait("kept", "is placed", lambda seen: "placed" in seen["status"], kind="ScheduledJob")
    async with scene.without_operator():
        await scene.delete("ScheduledJob", "orphan")
    await until("one run is left", queue.metrics, lambda counts: counts.delayed == 1)
    assert await queue.job_state(kept["status"]["placed"]["id"]) == "delayed"


async def test_a_run_ahead_that_redis_has_lost_is_placed_again_at_once(inside: Inside) -> None:
    scene = inside.scene
    await scene.apply(inside.jobqueue("emails"), scheduledjob("yearly", "emails", "0 0 1 1 *"))
    async with inside.operator():
        placed = await scene.wait("yearly", "is placed", lambda seen: "placed" in seen["status"], kind="ScheduledJob")
        queue = scene.queue("emails")
        await queue.redis.flushall()
        await until("it is there again", queue.metrics, lambda counts: counts.delayed == 1, seconds=20)
        assert await queue.job_state(placed["status"]["placed"]["id"]) == "delayed"
