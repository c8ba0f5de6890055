"""The cluster itself: what every other end-to-end test takes for granted."""

import json
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.cluster.errors import ClusterError
from tests.cluster.fixtures import Cluster, Forward
from tests.cluster.images import WORKER

REDIS_MANIFEST = Path(__file__).resolve().parents[2] / "examples" / "redis" / "redis.yaml"

#: What the operator gives its workers, and what a namespace with restricted pod security demands.
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "shell"},
    "spec": {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "shell",
                "image": WORKER.reference,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", "echo started; exec sleep 600"],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    },
}


@pytest.fixture
def shell(cluster: Cluster, cluster_images: None, namespace: str) -> str:
    """The namespace of a running pod named `shell` made from the worker image, under restricted pod security."""
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(POD))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/shell", "--timeout=30s")
    return namespace


def test_a_pod_of_the_worker_image_runs_without_any_privilege_and_shows_its_logs(cluster: Cluster, shell: str) -> None:
    assert cluster.kubectl("-n", shell, "logs", "shell") == "started\n"
    assert cluster.kubectl("-n", shell, "exec", "shell", "--", "id", "-u").strip() == "10001"
    with pytest.raises(ClusterError, match="Read-only file system"):
        cluster.kubectl("-n", shell, "exec", "shell", "--", "touch", "/opt/crewline/new")


def test_the_worker_image_holds_the_command_line_and_nothing_that_builds(cluster: Cluster, shell: str) -> None:
    execute = ("-n", shell, "exec", "shell", "--")
    assert "worker" in cluster.kubectl(*execute, "crewline", "--help")
    for absent in ("pip", "setuptools", "hatchling", "crewline_operator"):
        with pytest.raises(ClusterError, match=f"No module named '{absent}'"):
            cluster.kubectl(*execute, "python", "-c", f"import {absent}")


def test_a_service_has_a_name_that_pods_resolve(cluster: Cluster, shell: str) -> None:
    cluster.kubectl("-n", shell, "create", "service", "clusterip", "emails", "--tcp=80:80")
    address = cluster.kubectl("-n", shell, "get", "service", "emails", "-o", "jsonpath={.spec.clusterIP}")
    resolve = "import socket; print(socket.gethostbyname('emails'))"
    assert cluster.kubectl("-n", shell, "exec", "shell", "--", "python", "-c", resolve).strip() == address


@pytest.mark.usefixtures("cluster_images")
async def test_the_example_redis_keeps_its_data_when_its_pod_is_deleted(
    cluster: Cluster, namespace: str, forward: Forward
) -> None:
    def ready() -> None:
        cluster.kubectl("-n", namespace, "rollout", "status", "statefulset/redis", "--timeout=60s")

    cluster.kubectl("-n", namespace, "apply", "-f", str(REDIS_MANIFEST))
    ready()
    async with Redis(port=await forward("service/redis", 6379)) as redis:
        await redis.set("kept", "yes")
        assert (await redis.config_get("maxmemory-policy"))["maxmemory-policy"] == "noeviction"
        assert (await redis.config_get("hash-max-listpack-value"))["hash-max-listpack-value"] == "1024"
    before = cluster.kubectl("-n", namespace, "get", "pod", "redis-0", "-o", "jsonpath={.metadata.uid}")
    cluster.kubectl("-n", namespace, "delete", "pod", "redis-0")
    ready()
    assert cluster.kubectl("-n", namespace, "get", "pod", "redis-0", "-o", "jsonpath={.metadata.uid}") != before
    async with Redis(port=await forward("service/redis", 6379)) as redis:
        assert await redis.get("kept") == b"yes"


def test_an_image_that_is_nowhere_is_refused_within_seconds(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "run", "nowhere", "--image=registry.invalid/nowhere:1")
    waits_for = "--for=jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImagePull"
    cluster.kubectl("-n", namespace, "wait", "pod/nowhere", waits_for, "--timeout=30s")
