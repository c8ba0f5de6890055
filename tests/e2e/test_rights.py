"""The operator has the rights that it uses, and no other: what the chart gives against what the API server has seen."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.paths import Layout
from tests.e2e.scene import API, OPERATOR, REDIS, SYSTEM, Object, Scene, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: Group, resource and verb.
Right = tuple[str, str, str]

#: Asked for by the API server itself within a call of another verb.
WITHIN: set[Right] = {
    # by an admission plugin, where it is switched on, for an object that is owned
    ("crewline.dev", "jobqueues/finalizers", "update"),
    # by a server-side apply of what is not there yet
    ("apps", "deployments", "create"),
    ("", "serviceaccounts", "create"),
    ("", "pods", "create"),
    ("policy", "poddisruptionbudgets", "create"),
}


@pytest.fixture
def audit(scene: Scene) -> Path:
    """What the operator has asked for since the cluster began."""
    provider = scene.cluster.provider
    if provider.kind != "node":
        pytest.skip("only the API server of a cluster that is made here writes its audit log to a file of ours")
    return Layout.of(provider.name).audit


def lines(audit: Path) -> list[str]:
    return audit.read_text().splitlines()


def calls(audit: Path, since: int = 0) -> Iterator[tuple[Right, bool]]:
    """What was asked for, and whether it was allowed; since the log had so many lines."""
    for line in lines(audit)[since:]:
        seen = json.loads(line)
        what = seen.get("objectRef")
        if what is None or seen["user"]["username"] != f"system:serviceaccount:{SYSTEM}:{OPERATOR}":
            continue
        resource = "/".join(part for part in (what["resource"], what.get("subresource")) if part)
        allowed = seen["annotations"].get("authorization.k8s.io/decision") == "allow"
        yield (what.get("apiGroup", ""), resource, seen["verb"]), allowed


async def granted(scene: Scene) -> set[Right]:
    """What the chart's roles allow."""
    roles = []
    for words in (("clusterrole", OPERATOR), ("-n", SYSTEM, "role", f"{OPERATOR}-leader")):
        roles.append(json.loads(await scene.cluster_kubectl("get", *words, "-o", "json")))
    return {
        (group, resource, verb)
        for role in roles
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


async def walk(scene: Scene) -> None:
    """Have the operator do all that it does."""
    url = base64.b64encode(REDIS.encode()).decode()
    await scene.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "address"}, "data": {"url": url}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "other"}},
    )

    def wanted(least: int, **worker: Any) -> Object:
        redis = {"urlFrom": {"secretKeyRef": {"name": "address", "key": "url"}}}
        return jobqueue("rights", redis=redis, worker=worker, scaling={"minReplicas": least, "maxReplicas": 2})

    every = {"queueRef": {"name": "rights"}, "schedule": "0 7 * * *", "job": {"name": "early"}}
    await scene.apply(
        wanted(2, disruption={"budget": {"maxUnavailable": 1}}),
        {"apiVersion": API, "kind": "ScheduledJob", "metadata": {"name": "rights"}, "spec": every},
    )
    await scene.wait("rights", "has both workers", lambda seen: seen["status"]["ready"] == "2/2")
    # one of two goes: which one, is marked
    await scene.apply(wanted(1))
    await scene.wait("rights", "has one worker", lambda seen: seen["status"]["ready"] == "1/1")
    # its own ServiceAccount goes
    await scene.apply(wanted(1, template={"spec": {"serviceAccountName": "other"}}))

    async def account() -> Object | None:
        return await scene.get("ServiceAccount", "rights", "v1")

    await until("its own ServiceAccount is gone", account, lambda seen: seen is None)
    # the same Event twice
    for paused in (True, False, True, False):
        await scene.apply(wanted(1) | {"spec": wanted(1)["spec"] | {"paused": paused}})
        await scene.wait(
            "rights", "has seen it", lambda seen: seen["status"]["observedGeneration"] == seen["metadata"]["generation"]
        )
        await until("it is so", scene.queue("rights").metrics, lambda seen: bool(seen.paused) is paused)  # noqa: B023


async def outgrow(scene: Scene) -> None:
    """Have a job die of memory, and run in a pod of its own, which goes."""
    resources = {"limits": {"memory": "128Mi"}, "requests": {"memory": "64Mi"}}
    worker = {"resources": resources, "retryWith": {"memory": "512Mi"}}
    await scene.apply(jobqueue("outgrown", "handlers:needs", worker=worker))
    job = await scene.queue("outgrown").add("n", {"mib": 200})
    assert (await job.result(timeout=120))["pod"] == "outgrown-larger"


async def roll_until(scene: Scene, audit: Path) -> None:
    """Change the workers' template until the Deployment takes pods of several earlier ones away at once."""
    number = 0

    async def rolls() -> bool:
        nonlocal number
        number += 1
        env = [{"name": "NUMBER", "value": str(number)}]
        await scene.kube.merge(API, "JobQueue", "rights", scene.namespace, {"spec": {"worker": {"env": env}}})
        await asyncio.sleep(2)
        return ("apps", "replicasets", "list") in {right for right, _ in calls(audit)}

    await until("which templates pods are of has been looked at", rolls)


async def edit_until(scene: Scene, audit: Path, kind: str, plural: str, edit: Callable[[int], Object]) -> None:
    """Edit an object until the operator has written a status for one that had changed, and has had to read it."""
    number = 0

    async def edits() -> bool:
        nonlocal number
        for _ in range(20):
            number += 1
            await scene.kube.merge(API, kind, "rights", scene.namespace, {"spec": edit(number)})
        return ("crewline.dev", plural, "get") in {right for right, _ in calls(audit)}

    await until(f"a status of a {kind} met a conflict", edits, seconds=60)


async def test_it_is_allowed_what_it_asks_for_and_nothing_else(scene: Scene, audit: Path) -> None:
    # others have taken rights away from it for a while
    before = len(lines(audit))
    await walk(scene)
    await edit_until(scene, audit, "JobQueue", "jobqueues", lambda number: {"scaling": {"maxReplicas": 2 + number % 2}})
    await edit_until(
        scene, audit, "ScheduledJob", "scheduledjobs", lambda number: {"schedule": f"{number % 60} 7 * * *"}
    )
    await roll_until(scene, audit)
    await outgrow(scene)
    given = await granted(scene)

    async def unused() -> list[Right]:
        return sorted(given - {right for right, _ in calls(audit)} - WITHIN)

    await until("each right is used", unused, lambda rights: rights == [])
    refused = {right for right, allowed in calls(audit, before) if not allowed}
    assert refused == set()
