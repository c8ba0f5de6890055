"""The operator in the tests' own process, on the real API server, in one namespace and with a Redis of its own.

No pod of it can start there, and none need: what is looked at is what the operator asks the API server for, call by
call. The API server may be made to refuse a call, as it does when it is busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
import yaml
from crewline_operator.controller import Controller
from crewline_operator.kube.api import Api
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.watch import make_registry, run_kopf
from crewline_operator.loop.metrics import Metrics
from crewline_operator.model.settings import Settings
from kubernetes.aio import client as kube_client
from kubernetes.aio import config as kube_config

from tests import redis_server
from tests.cluster.fixtures import Cluster
from tests.cluster.paths import REPOSITORY
from tests.cluster.shell import answers
from tests.e2e.scene import API, OPERATOR, SYSTEM, Object, Scene, until
from tools.demo.kube import Kube


@dataclass(frozen=True)
class Call:
    """A call to the API server: its method, its path and what was sent."""

    method: str
    path: str
    body: Any


class RecordedApi(Api):
    """The real API server, with a record of all that was written."""

    def __init__(self, client: kube_client.ApiClient) -> None:
        super().__init__(client)
        self.writes: list[Call] = []
        #: For each write: the error to raise in its place, if any.
        self.refuse: Callable[[Call], ApiError | None] = lambda _: None

    async def _answer(self, method: str, path: str, **request: Any) -> tuple[int, dict[str, Any]]:
        call = Call(method, path, request.get("body"))
        if method != "GET" and not path.endswith("/events"):
            error = self.refuse(call)
            if error is not None:
                raise error
            self.writes.append(call)
        return await super()._answer(method, path, **request)

    def written(self, part: str) -> list[Call]:
        """The writes whose path has `part` in it."""
        return [call for call in self.writes if part in call.path]


@dataclass(frozen=True)
class Operator:
    """A running operator."""

    controller: Controller
    metrics: Metrics

    async def knows(self, jobqueue: str) -> bool:
        """Whether it looks after a JobQueue of that name."""
        return f'jobqueue="{jobqueue}"' in self.metrics.render().decode()

    def reconciles(self) -> float:
        """How many there have been."""
        samples = [sample for metric in self.metrics.registry.collect() for sample in metric.samples]
        return sum(sample.value for sample in samples if sample.name == "crewline_reconciles_total")

    def settled(self, reconciles: float) -> Callable[[], Awaitable[bool]]:
        """A look at whether there have been that many."""

        async def look() -> bool:
            return self.reconciles() >= reconciles

        return look


@dataclass(frozen=True)
class Inside:
    """A namespace, its Redis, and the verbs to apply, wait and look."""

    cluster: Cluster
    scene: Scene
    api: RecordedApi
    redis: redis_server.RedisServer

    def jobqueue(self, name: str, **spec: Any) -> Object:
        worker = {"handler": "handlers:echo", "image": "localhost/absent:1"}
        wanted = {"redis": {"url": self.redis.url}, "worker": worker} | spec
        return {"apiVersion": API, "kind": "JobQueue", "metadata": {"name": name}, "spec": wanted}

    @asynccontextmanager
    async def operator(self, watch: bool = True, **settings: Any) -> AsyncIterator[Operator]:
        """An operator that runs in the block, and has listed all there is. Without `watch` it sees no changes."""
        known = Settings(**{"watch_namespaces": (self.scene.namespace,), "poll_seconds": 0.2} | settings)
        metrics = Metrics()
        controller = Controller(self.api, known, metrics)
        working = asyncio.create_task(controller.run())

        async def end() -> None:
            working.cancel()
            await asyncio.wait({working})

        stop = asyncio.Event()
        registry = make_registry(controller.on_object, end)
        watching = asyncio.create_task(run_kopf(known, registry, stop=stop) if watch else stop.wait())
        try:

            async def ready() -> bool:
                if working.done():
                    await working
                return controller.ready

            await until("the operator has listed all", ready, seconds=30)
            yield Operator(controller, metrics)
        finally:
            stop.set()
            await asyncio.wait({watching})
            await end()
            with contextlib.suppress(asyncio.CancelledError):
                await working
            await watching


def crd(name: str) -> Object:
    """A CRD, as the chart would install it: Helm takes it over when it comes later."""
    wanted: Object = yaml.safe_load((REPOSITORY / "crds" / f"{name}.yaml").read_text())
    wanted["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "Helm"
    wanted["metadata"]["annotations"] |= {
        "meta.helm.sh/release-name": OPERATOR,
        "meta.helm.sh/release-namespace": SYSTEM,
    }
    return wanted


@pytest.fixture(scope="session")
def crds(cluster: Cluster) -> None:
    """The CRDs of this working tree."""
    for name in ("jobqueue", "scheduledjob"):
        wanted = crd(name)
        applying = ["apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", "-"]
        cluster.kubectl(*applying, stdin=json.dumps(wanted))
        cluster.kubectl("wait", "--for=condition=Established", f"crd/{wanted['metadata']['name']}", "--timeout=30s")


@pytest_asyncio.fixture(loop_scope="session")
async def inside(
    cluster: Cluster, crds: None, namespace: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Inside]:
    """A namespace of the test's own, which no other operator looks after."""
    monkeypatch.setitem(os.environ, "KUBECONFIG", str(cluster.kubeconfig))
    installed = answers([*cluster.command, "-n", SYSTEM, "get", "deployment", OPERATOR])
    configuration = kube_client.Configuration()
    await kube_config.load_kube_config(str(cluster.kubeconfig), client_configuration=configuration)
    configuration.retries = None
    with redis_server.start(tmp_path) as redis:
        async with (
            Kube(cluster.kubeconfig) as kube,
            kube_client.ApiClient(configuration) as client,
            contextlib.AsyncExitStack() as stack,
        ):
            scene = Scene(cluster, kube, namespace, redis.url)
            if installed:
                await stack.enter_async_context(scene.without_operator())
            yield Inside(cluster, scene, RecordedApi(client), redis)
            await scene.close()
