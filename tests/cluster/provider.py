"""Which Kubernetes it is: one function picks, three providers answer to the same few calls."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path
from typing import Protocol

from tests.cluster.errors import ClusterError
from tests.cluster.record import Record
from tests.cluster.shell import answers


class Provider(Protocol):
    """A way to have a Kubernetes."""

    #: `node`, `kind` or `caller`
    kind: str
    #: Tells the clusters of one kind apart.
    name: str

    @property
    def kubeconfig(self) -> Path:
        """Where the kubeconfig is, or will be."""
        ...

    def up(self) -> Path:
        """Make sure that the cluster runs and return its kubeconfig; a running one is used as it is."""
        ...

    def down(self) -> None:
        """Take the cluster away with all that was made for it; no error if there is none."""
        ...

    def faults(self) -> list[str]:
        """Why the cluster can't be used, in words; empty when it can."""
        ...

    def load_image(self, reference: str, archive: Path, image_id: str) -> bool:
        """Give the nodes an image of a docker archive; says whether that was needed."""
        ...


def pick(name: str, choice: str | None = None) -> Provider:
    """The provider of a cluster: the caller's KUBECONFIG, else a kind cluster, else a node made here.

    `choice` (`node` or `kind`), else CREWLINE_PROVIDER, overrides the pick for a cluster that does not run yet.
    """
    from tests.cluster.caller import CallerCluster
    from tests.cluster.kind import KindCluster
    from tests.cluster.node import NodeCluster

    named = os.environ.get("KUBECONFIG")
    running = Record.of_kubeconfig(named) if named else Record.read(name)
    if named and running is None:
        return CallerCluster(named)
    wanted = running.provider if running else choice or os.environ.get("CREWLINE_PROVIDER")
    name = running.name if running else name
    if wanted == "kind" or (wanted is None and engine() is not None):
        return KindCluster(name)
    if wanted is None and (why := _no_node()):
        raise ClusterError(
            f"no Kubernetes can be had here ({why}): set KUBECONFIG to a cluster of yours, or start docker or podman "
            "so that kind can make one, or run this as root on Linux, where one is built from source"
        )
    return NodeCluster(name)


@functools.cache
def engine() -> str | None:
    """The container engine that answers, if any."""
    return next((name for name in ("docker", "podman") if answers([name, "info"])), None)


def _no_node() -> str:
    if platform.system() != "Linux":
        return f"this is {platform.system()} and no container engine answers"
    if os.geteuid() != 0:
        return "no container engine answers and you are not root"
    return ""
