"""Workers and operator log in as an ACL user whose password is in a Secret, and go on when it is rotated."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import write_certificates
from tests.e2e.scene import REDIS, Object, Scene, jobqueue, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

RULES = ["~bull:*", "~bull-crewline:*", "+@all", "-@admin", "-@dangerous", "+info", "+client"]


def secret(name: str, **data: str) -> Object:
    encoded = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": encoded}


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
    await scene.apply(secret("rotated", password="first-password"))
    await scene.apply(jobqueue("rotating", redis=redis, scaling={"minReplicas": 1, "maxReplicas": 1}))
    queue = scene.queue("rotating")
    first = await (await queue.add("hello", 1)).result(timeout=90)

    await acl(">second-password")
    await scene.apply(secret("rotated", password="second-password"))

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


def redis_with_tls(password: str) -> list[Object]:
    """A Redis that speaks TLS only, and asks for a certificate and a password."""
    arguments = [
        "--port", "0", "--tls-port", "6379", "--tls-auth-clients", "yes", "--tls-cert-file", "/tls/tls.crt",
        "--tls-key-file", "/tls/tls.key", "--tls-ca-cert-file", "/tls/ca.crt", "--requirepass", password, "--save", "",
    ]  # fmt: skip
    labels = {"app.kubernetes.io/name": "redis-tls"}
    container = {
        "name": "redis", "image": "redis:7", "imagePullPolicy": "IfNotPresent", "command": ["redis-server"],
        "args": arguments, "workingDir": "/data",
        "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "tls", "mountPath": "/tls"}, {"name": "data", "mountPath": "/data"}],
    }  # fmt: skip
    user = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001}
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": user | {"seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tls", "secret": {"secretName": "redis-tls"}}, {"name": "data", "emptyDir": {}}],
    }
    metadata = {"name": "redis-tls", "labels": labels}
    ports = [{"name": "redis", "port": 6379}]
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": labels, "ports": ports}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod},
    ]


async def test_workers_and_operator_speak_tls_with_a_ca_and_a_certificate_from_secrets(
    scene: Scene, tmp_path: Path
) -> None:
    host = f"redis-tls.{scene.namespace}.svc"
    write_certificates(tmp_path, f"DNS:{host}")
    pem = {
        name: (tmp_path / name).read_text() for name in ("ca.crt", "redis.crt", "redis.key", "client.crt", "client.key")
    }
    await scene.apply(
        secret("redis-tls", tls_crt=pem["redis.crt"], tls_key=pem["redis.key"], ca_crt=pem["ca.crt"]),
        secret("client-tls", tls_crt=pem["client.crt"], tls_key=pem["client.key"], password="behind-tls\n"),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "authority"}, "data": {"ca.pem": pem["ca.crt"]}},
        *redis_with_tls("behind-tls"),
    )
    redis = {
        "url": f"rediss://{host}",
        "passwordFrom": {"secretKeyRef": {"name": "client-tls", "key": "password"}},
        "tls": {
            "ca": {"configMapKeyRef": {"name": "authority", "key": "ca.pem"}},
            "clientCertificate": {"secretName": "client-tls"},
        },
    }
    await scene.apply(jobqueue("sealed", redis=redis, scaling={"minReplicas": 1, "maxReplicas": 1}))
    await scene.wait("sealed", "is ready", lambda seen: seen["status"]["ready"] == "1/1")
    # its pod has all that it takes to reach Redis
    told = await scene.kubectl("exec", "deployment/sealed", "--", "crewline", "enqueue", "hello", "1", "--json")
    assert json.loads(told)["ids"] == ["1"]
    await scene.wait("sealed", "counts it", lambda seen: seen["status"]["counts"]["completed"] == 1)
    await scene.wait_condition("sealed", "RedisReachable", "Connected")
    shown = await scene.kubectl(
        "get", "jobqueue,deployment,pods", "-l", "app.kubernetes.io/name!=redis-tls", "-o", "yaml"
    )
    assert "behind-tls" not in shown
