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


def pick(name: str) -> Provider:
    """The provider of a cluster: the caller's KUBECONFIG, else kind, else a node made here.

    CREWLINE_PROVIDER (`node` or `kind`) overrides the choice for a cluster that does not run yet. Raises ClusterError
    where none of the three is possible.
    """
    from tests.cluster.caller import CallerCluster
    from tests.cluster.kind import KindCluster
    from tests.cluster.node import NodeCluster

    named = os.environ.get("KUBECONFIG")
    running = Record.of_kubeconfig(named) if named else Record.read(name)
    if named and running is None:
        return CallerCluster(named)
    name = running.name if running else name
    wanted = running.provider if running else os.environ.get("CREWLINE_PROVIDER") or ("kind" if engine() else "node")
    if wanted not in ("node", "kind"):
        raise ClusterError(f"CREWLINE_PROVIDER is {wanted!r}: set it to `node` or `kind`, or not at all")
    if wanted == "kind":
        return KindCluster(name)
    if why := _no_node():
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
        return f"this is {platform.system()}, without a container engine that answers"
    return "" if os.geteuid() == 0 else "you are not root, and no container engine answers"
