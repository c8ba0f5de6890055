"""An operator that looks after some namespaces: one that it may not see, or no more, holds up no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import pytest_asyncio
import yaml
from kubernetes.aio import client as kube_client
from kubernetes.aio import config as kube_config

from tests.e2e.inside import Inside, RecordedApi
from tests.e2e.scene import OPERATOR, Object, condition, until
from tests.e2e.test_chart import CHART, helm

pytestmark = pytest.mark.asyncio(loop_scope="session")


@dataclass(frozen=True)
class Guest:
    """An operator's account with the chart's Role in one namespace, and not yet in the other that it watches."""

    inside: Inside
    other: str
    #: What the chart grants in the other namespace.
    grants: list[Object]

    @property
    def watched(self) -> tuple[str, str]:
        return self.inside.scene.namespace, self.other

    async def connected(self, jobqueue: str, namespace: str) -> None:
        """Wait until a JobQueue is looked after."""
        await until(
            f"{namespace}/{jobqueue} is connected",
            lambda: self.inside.scene.kube.get("crewline.dev/v1alpha1", "JobQueue", jobqueue, namespace),
            lambda seen: condition(seen, "RedisReachable")["status"] == "True",
        )


@asynccontextmanager
async def api_of(kubeconfig: Path) -> AsyncIterator[RecordedApi]:
    configuration = kube_client.Configuration()
    await kube_config.load_kube_config(str(kubeconfig), client_configuration=configuration)
    configuration.retries = None
    async with kube_client.ApiClient(configuration) as client:
        yield RecordedApi(client)


@pytest_asyncio.fixture(loop_scope="session")
async def guest(inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Guest]:
    scene = inside.scene
    home, other = scene.namespace, f"{scene.namespace}-b"
    await scene.cluster_kubectl("create", "namespace", other)
    try:
        values = [f"--namespace={home}", "--set", f"watchNamespaces={{{home},{other}}}"]
        done = helm("template", OPERATOR, str(CHART), *values)
        manifests = [each for each in yaml.safe_load_all(done.stdout) if each]
        granted = [each for each in manifests if each["kind"] in ("ServiceAccount", "Role", "RoleBinding")]
        at_home = [each for each in granted if each["metadata"].get("namespace", home) == home]
        await scene.kube.apply(at_home, home)
        token = (await scene.kubectl("create", "token", OPERATOR)).strip()
        admin = yaml.safe_load(inside.cluster.kubeconfig.read_text())
        admin["users"][0]["user"] = {"token": token}
        kubeconfig = tmp_path / "guest.yaml"
        kubeconfig.write_text(yaml.safe_dump(admin))
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        async with api_of(kubeconfig) as api:
            elsewhere = [each for each in granted if each not in at_home]
            yield Guest(replace(inside, api=api), other, elsewhere)
    finally:
        await scene.cluster_kubectl("delete", "namespace", other, "--wait=false")


async def test_a_namespace_without_the_operator_s_role_holds_up_no_other(
    guest: Guest, caplog: pytest.LogCaptureFixture
) -> None:
    inside, other = guest.inside, guest.other
    kube = inside.scene.kube
    await inside.scene.apply(inside.jobqueue("emails"))
    await kube.apply([inside.jobqueue("letters")], other)
    async with inside.operator(watch_namespaces=guest.watched, resync_seconds=2) as operator:
        await guest.connected("emails", inside.scene.namespace)
        refused = [each for each in caplog.messages if f"namespace {other} is not looked after" in each]
        assert len(refused) == 1, "however often it is tried"
        assert "grant the operator the chart's Role there" in refused[0]
        await kube.apply(guest.grants, other)
        await guest.connected("letters", other)
        assert await operator.knows("letters")
        for each in guest.grants:
            await kube.delete(each["apiVersion"], each["kind"], each["metadata"]["name"], other)
        await inside.scene.apply(inside.jobqueue("more"))
        await guest.connected("more", inside.scene.namespace)
