"""Workers and operator log in as an ACL user whose password is in a Secret, and go on when it is rotated."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.e2e.scene import REDIS, Object, Scene, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

RULES = ["~bull:*", "~bull-crewline:*", "+@all", "-@admin", "-@dangerous", "+info", "+client"]


def secret(password: str) -> Object:
    data = {"password": base64.b64encode(password.encode()).decode()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rotated"}, "data": data}


async def test_jobs_go_on_through_the_rotation_of_a_password(scene: Scene) -> None:
    admin = scene.queue("rotating").redis

    async def acl(*rules: str) -> None:
        await admin.execute_command("ACL", "SETUSER", "rotator", *rules)

    await acl("on", ">first-password", *RULES)
    redis = {
        "url": REDIS,
        "username": "rotator",
        "passwordFrom": {"secretKeyRef": {"name": "rotated", "key": "password"}},
    }
    await scene.apply(secret("first-password"))
    await scene.apply(jobqueue("rotating", redis=redis, scaling={"minReplicas": 1, "maxReplicas": 1}))
    queue = scene.queue("rotating")
    first = await (await queue.add("hello", 1)).result(timeout=90)

    await acl(">second-password")
    await scene.apply(secret("second-password"))

    async def rolled_out() -> Any:
        pods = await scene.pods("rotating")
        return [pod["metadata"]["name"] for pod in pods]

    # the old worker works until the new one is ready
    await until("the workers are new ones", rolled_out, lambda names: names and first["pod"] not in names)
    await scene.wait("rotating", "is ready", lambda seen: seen["status"]["ready"] == "1/1")
    await acl("<first-password")
    await admin.execute_command("CLIENT", "KILL", "USER", "rotator")
    second = await (await queue.add("hello", 2)).result(timeout=60)
    assert second["data"] == 2 and second["pod"] != first["pod"]
    await scene.wait_condition("rotating", "RedisReachable", "Connected")

    shown = await scene.kubectl("get", "jobqueue,deployment,pods,events", "-o", "yaml")
    logs = await scene.kubectl("logs", "deployment/rotating")
    assert "first-password" not in shown + logs and "second-password" not in shown + logs
    await admin.execute_command("ACL", "DELUSER", "rotator")
