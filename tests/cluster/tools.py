"""The commands that talk to a cluster, wherever they come from: PATH, or built once into the cache."""

from __future__ import annotations

import re
import shutil

from tests.cluster import build
from tests.cluster.shell import answers, run

_HELM = ("helm.sh/helm/v4/cmd/helm", "v4.3.1", 160)
_KIND = ("sigs.k8s.io/kind", "v0.33.0", 60)


def kubectl() -> list[str]:
    """The words that start kubectl: ours where it was built, as it has the node's version, else the one on PATH."""
    if build.built()["kube"] or shutil.which("kubectl") is None:
        return [str(build.binary(build.KUBE)), "kubectl"]
    return ["kubectl"]


def helm() -> list[str]:
    """The words that start Helm 3 or 4."""
    if shutil.which("helm") and re.match(r"v[34]\.", run(["helm", "version", "--template", "{{.Version}}"])):
        return ["helm"]
    return [str(build.installed(*_HELM))]


def kind() -> list[str]:
    """The words that start kind."""
    return ["kind"] if answers(["kind", "version"]) else [str(build.installed(*_KIND))]
