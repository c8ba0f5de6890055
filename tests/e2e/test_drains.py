"""Scaling in under load, with real pods: no worker that runs a job is killed, and none stays drained."""

from __future__ import annotations

import pytest
from crewline_operator.effects.actions import Mark, Unmark
from crewline_operator.kube.store import version_of
from crewline_operator.model.deletion_cost import MARK, is_marked
from crewline_operator.model.key import Key

from tests.e2e.inside import Inside
from tests.e2e.scene import Scene, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Numbers of workers that are wanted one after the other, some before the last is reached.
WANTED = (4, 2, 4, 1, 3, 1)
#: Seconds that jobs take: longer than the grace period of those that are killed.
JOBS = [2, 5, 9] * 14


async def test_scale_ins_under_load_interrupt_no_job(scene: Scene) -> None:
    scaling = {"mode": "External", "maxReplicas": 4}
    await scene.apply(jobqueue("tide", "handlers:counted", worker={"concurrency": 1}, scaling=scaling))
    await scene.wait_condition("tide", "ScalingActive", "External")
    queue = scene.queue("tide")
    jobs = await queue.add_bulk([("work", seconds) for seconds in JOBS])
    await scene.kubectl("scale", "jobqueue", "tide", f"--replicas={WANTED[0]}")
    await scene.wait("tide", "has all", lambda seen: seen["status"]["ready"] == f"{WANTED[0]}/{WANTED[0]}")
    for wanted in WANTED[1:]:
        await scene.kubectl("scale", "jobqueue", "tide", f"--replicas={wanted}")
        if wanted == 4:
            # in the middle of the drain: those that were to go work on
            continue
        await until(f"{wanted} replicas", lambda: scene.replicas("tide"), lambda seen: seen == wanted, 60)  # noqa: B023
        assert (await queue.metrics()).waiting, "there was work for more all the time"
    await scene.kubectl("scale", "jobqueue", "tide", "--replicas=4")
    await until("all jobs are done", queue.metrics, lambda seen: seen.completed == len(jobs), 120)
    starts = await queue.redis.hgetall("starts:tide")
    assert {int(count) for count in starts.values()} == {1} and len(starts) == len(jobs)

    async def drained() -> list[str]:
        return [worker["name"] for worker in await queue.workers() if worker["drain"]]

    await scene.wait("tide", "has all again", lambda seen: seen["status"]["ready"] == "4/4")
    await until("nobody drains", drained, lambda seen: seen == [], 20)
    marks = [pod["metadata"].get("annotations", {}) for pod in await scene.pods("tide")]
    assert not [each for each in marks if "controller.kubernetes.io/pod-deletion-cost" in each]
    events = await scene.kubectl("get", "events", "--field-selector=involvedObject.name=tide")
    assert "WrongPodKilled" not in events


async def test_those_that_have_nothing_go_and_those_with_long_jobs_stay(scene: Scene) -> None:
    behavior = {"stableWindowSeconds": 6, "panicWindowSeconds": 1}
    scaling = {"maxReplicas": 4, "target": {"jobsPerReplica": 1}, "behavior": behavior}
    await scene.apply(jobqueue("ebb", "handlers:counted", worker={"concurrency": 1}, scaling=scaling))
    await scene.wait_condition("ebb", "Ready", "ScaledToZero")
    queue = scene.queue("ebb")
    jobs = await queue.add_bulk([("work", seconds) for seconds in (5, 5, 60, 60)])
    await scene.wait("ebb", "has all", lambda seen: seen["status"]["ready"] == "4/4")
    await until("two replicas", lambda: scene.replicas("ebb"), lambda seen: seen == 2)
    await scene.wait("ebb", "has two", lambda seen: seen["status"]["ready"] == "2/2")
    left = {pod["metadata"]["name"] for pod in await scene.pods("ebb")}
    assert [worker["busy"] for worker in await queue.workers() if worker["host"] in left] == [1, 1]
    await until("all jobs are done", queue.metrics, lambda seen: seen.completed == len(jobs), 120)
    starts = await queue.redis.hgetall("starts:ebb")
    assert [int(count) for count in starts.values()] == [1, 1, 1, 1]


async def test_neither_a_rollout_that_does_not_end_nor_a_strangers_pod_keeps_a_queue_awake(scene: Scene) -> None:
    scaling = {"mode": "External", "maxReplicas": 2}
    await scene.apply(jobqueue("slack", "handlers:counted", scaling=scaling))
    await scene.wait_condition("slack", "ScalingActive", "External")
    await scene.kubectl("scale", "jobqueue", "slack", "--replicas=1")
    await scene.wait("slack", "has one", lambda seen: seen["status"]["ready"] == "1/1")
    container = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    stranger = {
        "nodeSelector": {"there": "is-none"},
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "main", "image": "none", "securityContext": container}],
    }
    labels = {"crewline.dev/jobqueue": "slack"}
    absent = {"image": "localhost/crewline-worker:absent", "imagePullPolicy": "Never"}
    await scene.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "stranger", "labels": labels}, "spec": stranger},
        jobqueue("slack", "handlers:counted", worker=absent, scaling=scaling),
    )
    await scene.wait_condition("slack", "Degraded", "ImagePullFailed")
    await scene.kubectl("scale", "jobqueue", "slack", "--replicas=0")
    await until("none is wanted", lambda: scene.replicas("slack"), lambda seen: seen == 0, 30)


async def test_a_pod_of_another_uid_is_not_marked_and_needs_no_unmarking(inside: Inside) -> None:
    scene, cost = inside.scene, "controller.kubernetes.io/pod-deletion-cost"
    await scene.apply(inside.jobqueue("emails", scaling={"minReplicas": 1}))
    async with inside.operator() as operator:
        (pod,) = await until("a pod is made", lambda: scene.pods("emails"))
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        jobqueue = await scene.get("JobQueue", "emails")
        key = Key("JobQueue", scene.namespace, "emails")
        carry_out = operator.controller._executor.carry_out
        assert await carry_out(key, jobqueue, [Mark(name, "another")]) is False
        assert await carry_out(key, jobqueue, [Mark("absent", uid)]) is False
        assert await carry_out(key, jobqueue, [Unmark(name, "another"), Unmark("absent", uid)])
        assert cost not in (await scene.pods("emails"))[0]["metadata"].get("annotations", {})
        assert await carry_out(key, jobqueue, [Mark(name, uid)])

        async def marked() -> bool:
            return cost in (await scene.pods("emails"))[0]["metadata"].get("annotations", {})

        # nobody is to go: the watch shows the mark, and it is taken back
        await until("the mark is taken back", marked, lambda seen: not seen, 20)
        written = [call.body["metadata"]["annotations"] for call in inside.api.written(f"/pods/{name}")]
        assert written[-2:] == [{cost: MARK}, {cost: None}]

    # From here on no watch tells of anything, and nobody else changes a mark.
    pods = operator.controller._store.pods
    await carry_out(key, jobqueue, [Mark(name, uid)])
    before = version_of(pods.get(scene.namespace, name) or {})
    assert await carry_out(key, jobqueue, [Unmark(name, uid)])
    after = pods.get(scene.namespace, name)
    assert after is not None and version_of(after) > before and not is_marked(after), "no watch is waited for"
    # one of which the watch has not told that it is gone is marked no more
    for gone in (Mark("absent", "gone-1"), Unmark("absent", "gone-2")):
        pods.put(after | {"metadata": after["metadata"] | {"name": "absent", "uid": gone.uid}})
        await carry_out(key, jobqueue, [gone])
        assert pods.get(scene.namespace, "absent") is None
