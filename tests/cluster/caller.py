"""The cluster that the caller's KUBECONFIG names: used as it is, never made, never taken away."""

from __future__ import annotations

from pathlib import Path

from tests.cluster import tools
from tests.cluster.errors import ClusterError
from tests.cluster.progress import say
from tests.cluster.shell import run


class CallerCluster:
    """Somebody else's cluster."""

    kind = "caller"
    name = "KUBECONFIG"

    def __init__(self, kubeconfig: str) -> None:
        self._kubeconfig = Path(kubeconfig)

    @property
    def kubeconfig(self) -> Path:
        return self._kubeconfig

    def up(self) -> Path:
        if faults := self.faults():
            raise ClusterError(f"KUBECONFIG names {self.kubeconfig}, but {faults[0]}")
        return self.kubeconfig

    def down(self) -> None:
        raise ClusterError(
            f"KUBECONFIG names {self.kubeconfig}, a cluster that this harness did not make: unset it first"
        )

    def faults(self) -> list[str]:
        try:
            run([*tools.kubectl(), f"--kubeconfig={self.kubeconfig}", "get", "--raw", "/readyz"], timeout_seconds=20)
        except ClusterError as error:
            return [str(error)]
        return []

    def load_image(self, reference: str, archive: Path, image_id: str) -> bool:
        # How an image gets to somebody else's nodes is theirs to say; the pods tell if it did not.
        say(
            f"{reference}: if your cluster's nodes have not got this image, load it from {archive} "
            "(`kind load image-archive`, `minikube image load`, `k3s ctr images import`)"
        )
        return False
