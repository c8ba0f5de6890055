"""spec.worker.disruption with real pods: evictions are counted, and busy pods ask to be left where they are."""

from __future__ import annotations

import json

import pytest
from crewline_operator.model.do_not_disrupt import DO_NOT_DISRUPT, WHILE_BUSY

from tests.cluster.errors import ClusterError
from tests.e2e.inside import Inside
from tests.e2e.scene import Object, Scene, condition, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

SAID = DO_NOT_DISRUPT | {WHILE_BUSY: "true"}


async def evict(scene: Scene, pod: str) -> str:
    """What the API server says to an eviction; '' if it was granted."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": scene.namespace}}
    path = f"/api/v1/namespaces/{scene.namespace}/pods/{pod}/eviction"
    try:
        await scene.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
    except ClusterError as error:
        return str(error)
    return ""


def budgeted(most: int | str | None) -> Object:
    """Of a worker's spec."""
    return {"disruption": {"budget": {"maxUnavailable": most}} if most is not None else {}}


async def test_a_budget_is_kept_as_it_is_asked_for_and_goes_with_the_wish(inside: Inside) -> None:
    scene = inside.scene
    worker = {"handler": "handlers:echo", "image": "localhost/absent:1"}

    async def most() -> int | str | None:
        found = await scene.get("PodDisruptionBudget", "emails", "policy/v1")
        return found["spec"]["maxUnavailable"] if found else None

    await scene.apply(inside.jobqueue("emails", worker=worker | budgeted(1)))
    async with inside.operator():
        await until("it is there", most, lambda seen: seen == 1, seconds=20)
        await scene.kubectl("patch", "pdb", "emails", "--type=merge", "-p", '{"spec": {"maxUnavailable": 5}}')
        await until("it is put right", most, lambda seen: seen == 1, seconds=20)
        await scene.kubectl("delete", "pdb", "emails")
        await until("it is there again", most, lambda seen: seen == 1, seconds=20)
        await scene.apply(inside.jobqueue("emails", worker=worker | budgeted("25%")))
        await until("it follows", most, lambda seen: seen == "25%", seconds=20)
        await scene.apply(inside.jobqueue("emails", worker=worker | budgeted(None)))
        await until("it is gone", most, lambda seen: seen is None, seconds=20)


async def test_somebody_elses_budget_of_the_name_is_left_as_it_is_and_in_nobodys_way_who_asks_for_none(
    inside: Inside,
) -> None:
    scene = inside.scene
    worker = {"handler": "handlers:echo", "image": "localhost/absent:1"}
    theirs = {"maxUnavailable": 3, "selector": {"matchLabels": {"app": "theirs"}}}
    await scene.apply(
        {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "emails"}, "spec": theirs},
        inside.jobqueue("emails", worker=worker),
    )
    async with inside.operator():
        await scene.wait_condition("emails", "RedisReachable", "Connected")
        assert condition(await scene.get("JobQueue", "emails") or {}, "Degraded")["status"] == "False"
        await scene.apply(inside.jobqueue("emails", worker=worker | budgeted(1)))
        degraded = await scene.wait_condition("emails", "Degraded", "NameTaken")
        assert "PodDisruptionBudget 'emails' exists" in degraded["message"]
        found = await scene.get("PodDisruptionBudget", "emails", "policy/v1")
        assert found and found["spec"]["maxUnavailable"] == 3 and "ownerReferences" not in found["metadata"]


async def test_an_evicted_worker_finishes_its_job_and_the_next_one_is_not_evicted_before_it_is_replaced(
    scene: Scene,
) -> None:
    worker = {"concurrency": 1, "gracePeriodSeconds": 60, **budgeted(1)}
    await scene.apply(jobqueue("gusts", "handlers:gated", worker=worker, scaling={"minReplicas": 2, "maxReplicas": 2}))
    await scene.wait("gusts", "has both", lambda seen: seen["status"]["ready"] == "2/2")
    queue = scene.queue("gusts")
    jobs = await queue.add_bulk([("work", {}), ("work", {})])
    await until("both run", queue.metrics, lambda seen: seen.active == 2)
    first, second = [pod["metadata"]["name"] for pod in await scene.pods("gusts")]

    async def allows() -> int:
        found = await scene.get("PodDisruptionBudget", "gusts", "policy/v1")
        return int((found or {}).get("status", {}).get("disruptionsAllowed", 0))

    await until("one may be evicted", allows, lambda seen: seen == 1)
    assert await evict(scene, first) == ""
    # until another one is ready in its place
    assert "disruption budget" in await evict(scene, second)
    await until("one may be evicted again", allows, lambda seen: seen == 1)
    assert await evict(scene, second) == ""
    await scene.open_gate("gusts")
    await until("both are done", queue.metrics, lambda seen: seen.completed == 2)
    for job in jobs:
        found = await queue.get_job(job.id)
        assert found is not None and (found.attempts_made, found.attempts_started) == (1, 1)


async def test_a_busy_pod_asks_to_be_left_and_no_longer_once_that_is_switched_off(scene: Scene) -> None:
    worker = {"concurrency": 1, "disruption": {"whileBusy": "DoNotDisrupt"}}
    scaling = {"minReplicas": 2, "maxReplicas": 2}
    await scene.apply(jobqueue("haven", "handlers:gated", worker=worker, scaling=scaling))
    await scene.wait("haven", "has both", lambda seen: seen["status"]["ready"] == "2/2")
    before = {pod["metadata"]["uid"] for pod in await scene.pods("haven")}

    async def said() -> list[Object]:
        found = [pod["metadata"].get("annotations", {}) for pod in await scene.pods("haven")]
        return [{name: each[name] for name in SAID if name in each} for each in found]

    assert await said() == [{}, {}]
    queue = scene.queue("haven")
    await queue.add("work", {})
    await until("the busy one asks", said, lambda seen: sorted(map(len, seen)) == [0, len(SAID)], 20)
    assert SAID in await said()
    await scene.apply(jobqueue("haven", "handlers:gated", worker={"concurrency": 1}, scaling=scaling))
    await until("none asks", said, lambda seen: seen == [{}, {}], 20)
    assert {pod["metadata"]["uid"] for pod in await scene.pods("haven")} == before, "no pod was replaced for it"
    await scene.open_gate("haven")
    await until("it is done", queue.metrics, lambda seen: seen.completed == 1)
