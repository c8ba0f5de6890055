"""Objects that were stored under another schema: each tells of itself, and the others are looked after."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from crewline_operator.kube.schema import OldSchema
from crewline_operator.model.names import SCHEMA_VERSION_ANNOTATION
from kubernetes.aio.dynamic.exceptions import DynamicApiError

from tests.e2e.inside import Inside, crd
from tests.e2e.scene import API, Object, Scene, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


def bare(kind: str, name: str, spec: Any) -> Object:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


@asynccontextmanager
async def another_schema(scene: Scene) -> AsyncIterator[None]:
    """A time in which the CRDs take anything."""
    names = ("jobqueue", "scheduledjob")
    for name in names:
        loose = crd(name)
        anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        (version,) = loose["spec"]["versions"]
        # They name fields of the schema.
        del version["selectableFields"]
        version["schema"]["openAPIV3Schema"] = {"type": "object", "properties": {"spec": anything, "status": anything}}
        await apply_crd(scene, loose)
    try:
        yield
    finally:
        for name in names:
            await apply_crd(scene, crd(name))


async def apply_crd(scene: Scene, wanted: Object) -> None:
    applying = ["apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", "-"]
    await scene.kubectl(*applying, stdin=json.dumps(wanted))


async def test_objects_of_another_schema_stop_nothing_and_tell_what_is_wrong_with_them(inside: Inside) -> None:
    scene = inside.scene
    sound = inside.jobqueue("sound")
    late = {"queueRef": {"name": "no-redis"}, "schedule": "* * * * *", "job": {"name": "late"}}
    old = [
        bare("JobQueue", "no-redis", {"worker": {"handler": "h:h"}}),
        bare("JobQueue", "no-numbers", sound["spec"] | {"scaling": {"maxReplicas": "many"}}),
        bare("ScheduledJob", "no-job", {"queueRef": {"name": "sound"}, "schedule": "* * * * *"}),
        bare("ScheduledJob", "no-queue", late),
    ]

    async def all_applied() -> bool:
        # The API server takes the new schema a moment after the CRD.
        await scene.apply(*old)
        return True

    async with another_schema(scene):
        await until("the loose schema is in force", lambda: tried(all_applied), seconds=20)
        async with inside.operator():
            missing = await scene.wait_condition("no-redis", "Degraded", "InvalidSpec")
            assert missing["message"].startswith("spec.redis is missing: apply the object again")
            number = await scene.wait_condition("no-numbers", "Degraded", "InvalidSpec")
            assert number["message"].startswith("spec.scaling.maxReplicas is 'many', not a whole number from 1")
            job = await scene.wait_condition("no-job", "Ready", "InvalidSpec", kind="ScheduledJob")
            assert job["message"].startswith("spec.job is missing")
            queue = await scene.wait_condition("no-queue", "Ready", "QueueNotReady", kind="ScheduledJob")
            assert "JobQueue 'no-redis' can't be read: spec.redis is missing" in queue["message"]

    # Now they are what no one could write: the operator starts all the same, and a mend is seen.
    async with inside.operator():
        await scene.apply(sound)
        await scene.wait_condition("sound", "RedisReachable", "Connected")
        await scene.apply(inside.jobqueue("no-redis"))
        await scene.wait_condition("no-redis", "Degraded", "AsExpected")
        mended = await scene.get("JobQueue", "no-redis")
        assert mended and "faults" not in mended["status"]


async def test_an_operator_does_not_run_with_older_crds_than_it_needs(inside: Inside) -> None:
    old = crd("scheduledjob")
    old["metadata"]["annotations"][SCHEMA_VERSION_ANNOTATION] = "1"
    await apply_crd(inside.scene, old)
    try:
        with pytest.raises(
            OldSchema, match=r"scheduledjobs\.crewline\.dev has schema version 1, and this operator needs"
        ):
            async with inside.operator():
                pass
    finally:
        await apply_crd(inside.scene, crd("scheduledjob"))
    async with inside.operator():
        pass


async def tried(act: Any) -> bool:
    """Whether it was done."""
    try:
        await act()
    except DynamicApiError:
        return False
    return True
