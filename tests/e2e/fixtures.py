"""pytest fixtures: Crewline on the cluster, installed by its chart, and a scene in a namespace with a Redis.

They live on one event loop for the whole session, as the port-forward to Redis does: a module that uses them says
`pytestmark = pytest.mark.asyncio(loop_scope="session")`.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
import yaml

from tests.cluster import images, tools
from tests.cluster.errors import ClusterError
from tests.cluster.fixtures import Cluster
from tests.cluster.forward import forwarded
from tests.cluster.paths import REPOSITORY
from tests.cluster.shell import answers, run
from tests.e2e.scene import HANDLERS, OPERATOR, SYSTEM, Scene, config_map, until
from tools.demo.kube import Kube

CHART = REPOSITORY / "charts" / "crewline"
REDIS_MANIFEST = REPOSITORY / "examples" / "redis" / "redis.yaml"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def crewline(cluster: Cluster, cluster_images: list[images.Built]) -> AsyncIterator[None]:
    """Crewline as the chart installs it, with this working tree's images; an earlier release is upgraded and stays."""
    helm = [*tools.helm(), f"--kubeconfig={cluster.kubeconfig}", f"--namespace={SYSTEM}"]
    ran_before = answers([*helm, "status", OPERATOR])
    words = ["upgrade", "--install", OPERATOR, CHART, "--create-namespace", "--wait", "--timeout=120s"]
    run([*helm, *words, *_values(cluster_images)], timeout_seconds=150)
    yield
    if not ran_before:
        run([*helm, "uninstall", OPERATOR])


def _values(loaded: list[images.Built]) -> list[str]:
    values = ["--set-string=env.CREWLINE_STATUS_SECONDS=1"]
    for value, image in (("image", images.OPERATOR), ("workerImage", images.WORKER)):
        repository, _, tag = image.reference.rpartition(":")
        values += [f"--set={value}.repository={repository}", f"--set={value}.tag={tag}"]
    # The tag stays the same when the image changes: this makes a new pod then, and only then.
    (operator,) = (built.id for built in loaded if built.image is images.OPERATOR)
    return [*values, f"--set-string=podAnnotations.crewline\\.dev/image={operator}"]


@dataclass(frozen=True)
class Stage:
    """The namespace that all scenes share."""

    cluster: Cluster
    kube: Kube
    namespace: str
    redis_url: str

    def scene(self) -> Scene:
        return Scene(self.cluster, self.kube, self.namespace, self.redis_url)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stage(cluster: Cluster, crewline: None) -> AsyncIterator[Stage]:
    """A namespace with restricted pod security, examples/redis, and the tests' handlers in a ConfigMap."""
    name = f"stage-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    async with Kube(cluster.kubeconfig) as kube:
        await kube.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}])
        try:
            await kube.apply([*yaml.safe_load_all(REDIS_MANIFEST.read_text())], name)
            await kube.apply([config_map("handlers", HANDLERS.read_text())], name)
            await until(
                "redis is ready",
                lambda: kube.get("apps/v1", "StatefulSet", "redis", name),
                lambda seen: seen["status"].get("readyReplicas") == 1,
            )
            async with forwarded(cluster.kubeconfig, name, "service/redis", 6379) as port:
                yield Stage(cluster, kube, name, f"redis://127.0.0.1:{port}/0")
        finally:
            await kube.delete("v1", "Namespace", name)


@pytest_asyncio.fixture(loop_scope="session")
async def scene(stage: Stage) -> AsyncIterator[Scene]:
    """The test's own part of the stage, once Redis answers: an earlier test may have restarted it, and failed."""
    scene = stage.scene()
    await until("Redis answers", scene.redis_answers)
    yield scene
    await scene.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def module_scene(stage: Stage) -> AsyncIterator[Scene]:
    """A part of the stage that a module's tests share."""
    scene = stage.scene()
    yield scene
    await scene.close()


def add_report(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add to the report of a failed test what the cluster looks like now."""
    scenes = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Scene)]
    if report.failed and scenes:
        try:
            report.sections.append(("cluster", scenes[0].describe()))
        except ClusterError as error:
            report.sections.append(("cluster", str(error)))
