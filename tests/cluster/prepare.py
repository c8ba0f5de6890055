"""Makes a fresh machine ready: packages, binaries, tools, images; each only where it is missing."""

from __future__ import annotations

from tests.cluster import build, debian, images, tools
from tests.cluster.progress import say
from tests.cluster.provider import pick


def prepare_machine() -> None:
    """Install and build whatever the picked provider needs; raises ClusterError naming what can't be had."""
    cluster = pick("dev")
    if cluster.kind == "node":
        debian.install(debian.NODE | debian.IMAGES)
        for program in (build.KUBE, build.DNS, build.PAUSE):
            build.binary(program)
    elif cluster.kind == "kind":
        tools.kind()
    tools.kubectl()
    tools.helm()
    images.build()
    say(f"this machine is ready for clusters ({cluster.kind})")
