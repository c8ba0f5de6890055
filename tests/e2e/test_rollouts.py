"""Rollouts under load, with real pods: workers of the earlier template finish their jobs, and Ready never leaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.cluster import tools
from tests.cluster.fixtures import Cluster
from tests.cluster.shell import run
from tests.e2e.fixtures import CHART
from tests.e2e.scene import OPERATOR, SYSTEM, Object, Scene, condition, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Replicas, and three changes of what a process can't change.
WORKERS, ROLLOUTS = 3, 3
SCALING = {"mode": "External", "minReplicas": WORKERS, "maxReplicas": WORKERS}
COST = "controller.kubernetes.io/pod-deletion-cost"


def of_version(name: str, version: int, **worker: Any) -> Object:
    wanted = {"concurrency": 1, "env": [{"name": "VERSION", "value": str(version)}]} | worker
    return jobqueue(name, "handlers:counted", worker=wanted, scaling=SCALING, replicas=WORKERS)


def version_of(pod: Object) -> str:
    (container,) = pod["spec"]["containers"]
    return next((each["value"] for each in container["env"] if each["name"] == "VERSION"), "")


@contextlib.asynccontextmanager
async def always_ready(scene: Scene, name: str) -> AsyncIterator[None]:
    """In the block the JobQueue is Ready, and has as many ready workers as wanted, whenever it is looked at."""
    seen: list[tuple[str, int]] = []

    async def look() -> None:
        while True:
            obj = await scene.get("JobQueue", name)
            assert obj
            seen.append((condition(obj, "Ready")["status"], obj["status"]["readyReplicas"]))
            await asyncio.sleep(0.2)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.wait({looking})
    assert len(seen) > 10
    assert {ready for ready, _ in seen} == {"True"}
    assert min(number for _, number in seen) >= WORKERS


async def rolled_out(scene: Scene, name: str, version: int) -> None:
    """Wait until all workers are of a version, and of no other."""

    async def versions() -> list[str]:
        return [version_of(pod) for pod in await scene.pods(name)]

    await until(f"all are of version {version}", versions, lambda seen: seen == [str(version)] * WORKERS, 150)


async def under_way(scene: Scene, name: str, version: int) -> None:
    """Wait until the first worker of a version is ready."""
    await until(
        f"one of version {version} is there",
        lambda: scene.pods(name),
        lambda pods: any(version_of(pod) == str(version) and _is_ready(pod) for pod in pods),
    )


def _is_ready(pod: Object) -> bool:
    return any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))


async def began_once_each(scene: Scene, name: str, jobs: int) -> None:
    queue = scene.queue(name)
    await until("all jobs are done", queue.metrics, lambda seen: seen.completed == jobs, 150)
    starts = await queue.redis.hgetall(f"starts:{name}")
    assert {int(count) for count in starts.values()} == {1} and len(starts) == jobs


async def nobody_is_left_drained(scene: Scene, name: str) -> None:
    async def drained() -> list[str]:
        return [worker["name"] for worker in await scene.queue(name).workers() if worker["drain"]]

    await until("nobody drains", drained, lambda seen: seen == [], 40)
    assert not [pod for pod in await scene.pods(name) if COST in pod["metadata"].get("annotations", {})]


async def roll_out_under_load(scene: Scene, name: str, grace_seconds: int) -> None:
    """One rollout after the other while workers have jobs of up to 25 s: each is begun once, nobody stays drained."""
    await scene.apply(of_version(name, 0, gracePeriodSeconds=grace_seconds))
    await scene.wait(name, "has all", lambda seen: seen["status"]["ready"] == f"{WORKERS}/{WORKERS}")
    jobs = await scene.queue(name).add_bulk([("work", seconds) for seconds in [3, 12, 25] * 6])
    async with always_ready(scene, name):
        for version in range(1, ROLLOUTS + 1):
            await scene.apply(of_version(name, version, gracePeriodSeconds=grace_seconds))
            # the next one comes in the middle of it
            await under_way(scene, name, version)
        await rolled_out(scene, name, ROLLOUTS)
    await began_once_each(scene, name, len(jobs))
    await nobody_is_left_drained(scene, name)


async def test_long_jobs_within_their_grace_period_live_through_three_rollouts(scene: Scene) -> None:
    name = "swell"
    await roll_out_under_load(scene, name, grace_seconds=60)


async def test_those_that_have_nothing_are_replaced_first(scene: Scene) -> None:
    name = "lull"
    await scene.apply(of_version(name, 0))
    await scene.wait(name, "has all", lambda seen: seen["status"]["ready"] == f"{WORKERS}/{WORKERS}")
    queue = scene.queue(name)
    await queue.add("work", 600)
    busy = await until("one is busy", queue.workers, lambda seen: [each for each in seen if each["busy"]])
    at_work = next(each["host"] for each in busy if each["busy"])
    await scene.apply(of_version(name, 1))

    async def old() -> list[str]:
        return [pod["metadata"]["name"] for pod in await scene.pods(name) if version_of(pod) == "0"]

    for left in range(WORKERS - 1, 0, -1):
        seen = await until(f"{left} are left", old, lambda names: len(names) <= left)  # noqa: B023
        assert at_work in seen or not seen


@pytest_asyncio.fixture(loop_scope="session")
async def guard(cluster: Cluster, scene: Scene) -> AsyncIterator[None]:
    """The chart's guard is on."""
    helm = [*tools.helm(), f"--kubeconfig={cluster.kubeconfig}", f"--namespace={SYSTEM}"]
    words = [*helm, "upgrade", OPERATOR, CHART, "--reuse-values", "--wait", "--timeout=120s"]
    await asyncio.to_thread(run, [*words, "--set=scaleInGuard.enabled=true"], timeout_seconds=150)
    yield
    await asyncio.to_thread(run, [*words, "--set=scaleInGuard.enabled=false"], timeout_seconds=150)


async def test_under_the_guard_jobs_longer_than_their_grace_period_live_through_three_rollouts_and_scale_ins(
    scene: Scene, guard: None
) -> None:
    name = "spring"
    await roll_out_under_load(scene, name, grace_seconds=1)

    # neither a scale-in nor the way to zero is in the guard's way
    def wanting(replicas: int) -> Object:
        wanted = of_version(name, ROLLOUTS, gracePeriodSeconds=1)
        wanted["spec"] |= {"replicas": replicas, "scaling": SCALING | {"minReplicas": 0}}
        return wanted

    for replicas in (1, 0):
        await scene.apply(wanting(replicas))
        await until(f"{replicas} are left", lambda: scene.pods(name), lambda pods: len(pods) == replicas, 60)  # noqa: B023

    # a deletion by somebody else is not held up
    await scene.apply(wanting(1))
    (pod,) = await until("one is there", lambda: scene.pods(name), lambda pods: len(pods) == 1 and _is_ready(pods[0]))
    await scene.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
    await until(
        "another one is there",
        lambda: scene.pods(name),
        lambda pods: [each["metadata"]["uid"] for each in pods] != [pod["metadata"]["uid"]] and len(pods) == 1,
    )


async def test_under_the_guard_programs_of_another_kind_come_and_go_as_ever(scene: Scene, guard: None) -> None:
    name, image = "strange", None
    await scene.apply(jobqueue("probe", scaling={"minReplicas": 0}))
    built = await until("a Deployment is there", lambda: scene.get("Deployment", "probe", "apps/v1"))
    image = built["spec"]["template"]["spec"]["containers"][0]["image"]
    worker = {"command": ["/opt/crewline/bin/python", "-c", "import time; time.sleep(3600)"], "image": image}
    wanted = jobqueue(name, scaling=SCALING | {"minReplicas": 0}, replicas=2)
    wanted["spec"]["worker"] = worker | {"gracePeriodSeconds": 1}
    await scene.apply(wanted)
    await until("two are ready", lambda: scene.pods(name), lambda pods: len(pods) == 2 and all(map(_is_ready, pods)))
    wanted["spec"]["worker"] |= {"env": [{"name": "VERSION", "value": "1"}]}
    await scene.apply(wanted)
    await until(
        "both are replaced",
        lambda: scene.pods(name),
        lambda pods: [version_of(pod) for pod in pods] == ["1", "1"],
    )
    for replicas in (1, 0):
        wanted["spec"]["replicas"] = replicas
        await scene.apply(wanted)
        await until(f"{replicas} are left", lambda: scene.pods(name), lambda pods: len(pods) == replicas)  # noqa: B023
