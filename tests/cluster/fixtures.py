"""pytest fixtures on a real cluster. A conftest.py that imports them has them.

The cluster is the one that KUBECONFIG names, else the one called CREWLINE_CLUSTER (`test` if unset). A cluster that
these fixtures started goes when the last session on it ends, unless CREWLINE_KEEP_CLUSTER=1; any other one stays.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cluster import images, tools
from tests.cluster.forward import forwarded
from tests.cluster.health import until
from tests.cluster.lock import shared
from tests.cluster.paths import Layout, lock_file
from tests.cluster.provider import Provider, pick
from tests.cluster.shell import answers, run

Kubectl = Callable[..., str]
Forward = Callable[[str, int], Awaitable[int]]

_ACCOUNT_SECONDS = 20.0


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    provider: Provider
    kubeconfig: Path

    def kubectl(self, *words: str, stdin: str | None = None, timeout_seconds: float = 60) -> str:
        """Run kubectl and return what it printed; raises ClusterError with what it said if it fails."""
        return run([*self.command, *words], stdin=stdin, timeout_seconds=timeout_seconds)

    @property
    def command(self) -> list[str]:
        """The words that start kubectl on this cluster."""
        return [*tools.kubectl(), f"--kubeconfig={self.kubeconfig}"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A real Kubernetes with a ready node."""
    provider = pick(os.environ.get("CREWLINE_CLUSTER", "test"))
    with shared(lock_file(f"{provider.name}.sessions")) as alone:
        ran_before = not provider.faults()
        kubeconfig = provider.up()
        started_by_tests = Layout.of(provider.name).run / "started-by-tests"
        if not ran_before and provider.kind != "caller":
            started_by_tests.touch()
        yield Cluster(provider, kubeconfig)
        # Of several sessions on one cluster the last one takes it away.
        if started_by_tests.exists() and os.environ.get("CREWLINE_KEEP_CLUSTER") != "1" and alone():
            provider.down()


@pytest.fixture(scope="session")
def cluster_images(cluster: Cluster) -> list[images.Built]:
    """The worker, operator and Redis images of this working tree, in the cluster."""
    return images.load(cluster.provider)


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster) -> Kubectl:
    """`kubectl("get", "pods", stdin=..., timeout_seconds=...)` -> what it printed."""
    return cluster.kubectl


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace of the test's own, in which pods can be created; it goes with the test."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    account = [*cluster.command, "-n", name, "get", "serviceaccount", "default"]
    assert until(lambda: answers(account), _ACCOUNT_SECONDS), f"namespace {name} got no service account"
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def forward(cluster: Cluster, namespace: str) -> AsyncIterator[Forward]:
    """`await forward("service/redis", 6379)` -> a port on 127.0.0.1, open until the test ends."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_port(target: str, port: int) -> int:
            return await stack.enter_async_context(forwarded(cluster.kubeconfig, namespace, target, port))

        yield open_port
