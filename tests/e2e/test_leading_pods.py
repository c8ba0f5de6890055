"""The chart's two operators in their pods: what the kubelet makes of one that is killed, and of one that is to go."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.e2e.operators import soon
from tests.e2e.scene import OPERATOR, OPERATORS, SYSTEM, Object, Scene, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Kills the operator in a container without a word; the init process before it ends with it.
KILL = "kill -9 $(cat /proc/1/task/1/children)"


async def lease(scene: Scene) -> Object:
    found = await scene.kube.get("coordination.k8s.io/v1", "Lease", OPERATOR, SYSTEM)
    assert found
    return found


async def holder(scene: Scene) -> str:
    """Who leads: its pod, the pod's uid, its process."""
    return str((await lease(scene))["spec"].get("holderIdentity") or "")


async def all_ready(scene: Scene) -> None:
    async def ready() -> int:
        found = await scene.kube.get("apps/v1", "Deployment", OPERATOR, SYSTEM)
        assert found
        return int(found["status"].get("readyReplicas", 0))

    await until("all operators are ready", ready, lambda count: count == OPERATORS)


async def next_one(scene: Scene, earlier: str) -> str:
    """Who leads next."""

    async def other() -> Any:
        found = await holder(scene)
        return found if found not in ("", earlier) else None

    return str(await soon("another one leads", other))


async def test_another_process_leads_within_10_s_of_the_kill_of_the_leaders(scene: Scene) -> None:
    took = []
    for _ in range(3):
        await all_ready(scene)
        earlier = await holder(scene)
        pod = earlier.partition("_")[0]
        asked_at = time.monotonic()
        await scene.cluster_kubectl("-n", SYSTEM, "exec", pod, "--", "sh", "-c", KILL)
        successor = await next_one(scene, earlier)
        took.append(time.monotonic() - asked_at)
        where = "in its pod" if successor.startswith(pod) else "in the other pod"
        print(f"took over {where} {took[-1]:.2f} s after the kill")
    assert max(took) <= 10, took
    await scene.apply(jobqueue("after", scaling={"minReplicas": 0}))
    job = await scene.queue("after").add("hello", {"kept": 1})
    assert (await job.result(timeout=60))["data"] == {"kept": 1}


async def test_the_other_one_leads_within_3_s_when_the_leaders_pod_is_deleted(scene: Scene) -> None:
    took = []
    for _ in range(3):
        await all_ready(scene)
        earlier = await holder(scene)
        asked_at = time.monotonic()
        await scene.cluster_kubectl("-n", SYSTEM, "delete", "pod", earlier.partition("_")[0], "--wait=false")
        await next_one(scene, earlier)
        took.append(time.monotonic() - asked_at)
        print(f"took over {took[-1]:.2f} s after kubectl delete")
    assert max(took) <= 3, took
