"""The demo's Kubernetes: `tests.cluster` finds or makes it; here is only what the demo asks of it."""

import os
import shlex
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.cluster import images, tools
from tests.cluster.errors import ClusterError
from tests.cluster.forward import forwarded
from tests.cluster.provider import pick
from tools.demo.install import NAMESPACE, QUEUE

NAME = "demo"
REGISTRY_VARIABLE = "CREWLINE_REGISTRY"
HOW = {
    "caller": "the cluster that KUBECONFIG names",
    "kind": "kind, in the container engine of this machine",
    "node": "one real node, made here",
}


class Cluster:
    """One of three: the caller's, kind's, or the throw-away node."""

    def __init__(self) -> None:
        self._provider = pick(NAME)
        self.how = HOW[self._provider.kind]
        self.ours = getattr(self._provider, "name", None) == NAME
        self.kubeconfig = Path(os.environ.get("KUBECONFIG", ""))
        #: What the images' names start with.
        self.registry = os.environ.get(REGISTRY_VARIABLE, "") if self._provider.kind == "caller" else "localhost"

    def up(self) -> None:
        self.kubeconfig = self._provider.up()

    def down(self) -> None:
        self._provider.down()

    def load_images(self) -> str:
        """Builds what changed and gives it to the cluster; returns the operator image's version.

        Raises ClusterError if the cluster takes no images from here and nobody said where it gets them.
        """
        if self._provider.kind != "caller":
            images.load(self._provider)
            (operator,) = images.build(images.OPERATOR)
            return operator.id
        if not self.registry:
            raise ClusterError(
                "KUBECONFIG names a cluster that takes no images from this machine: build worker-image/Dockerfile and "
                "operator/Dockerfile as REGISTRY/crewline-worker:dev and REGISTRY/crewline-operator:dev, push them to "
                f"a REGISTRY that the cluster pulls from, and call `make demo {REGISTRY_VARIABLE}=REGISTRY`"
            )
        # What was pushed under the same tag can't be known from here.
        return f"pushed-before-{time.time_ns()}"

    @property
    def helm(self) -> list[str]:
        return tools.helm()

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[str]:
        """The URL of the demo's Redis, through the API server to 127.0.0.1."""
        async with forwarded(self.kubeconfig, NAMESPACE, "service/redis", 6379) as port:
            yield f"redis://127.0.0.1:{port}/0"

    def next_commands(self) -> list[str]:
        """To paste into a shell in the repository's folder: where the cluster is, and five things to do with it."""
        kubectl = "kubectl" if shutil.which("kubectl") else shlex.join(tools.kubectl())
        here = f"{kubectl} -n {NAMESPACE}"
        patch = shlex.quote('{"spec": {"scaling": {"minReplicas": 2}}}')
        forward = f"{here} port-forward service/redis 16379:6379 >/dev/null & sleep 2"
        return [
            f"export KUBECONFIG={shlex.quote(str(self.kubeconfig))}",
            f"{here} get jobqueues,scheduledjobs,pods",
            f"{here} describe jobqueue {QUEUE}",
            f"{forward}; .venv/bin/crewline dlq list -q {QUEUE} -r redis://127.0.0.1:16379/0; kill $!",
            f"{here} patch jobqueue {QUEUE} --type=merge -p {patch}",
            "make demo-down",
        ]
