"""Takes away what a cluster made on this machine, from what is on disk and in the kernel, and can prove that it did."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.cluster import cgroups, network
from tests.cluster.health import until
from tests.cluster.paths import Layout
from tests.cluster.shell import run

_UNMOUNT_SECONDS = 5.0


def sweep(layout: Layout) -> None:
    """End every process of the cluster and remove its mounts, network, cgroups and folders; none need exist."""
    cgroups.kill(layout.namespace)
    shim_sockets = _shim_sockets(layout)
    for mount in mounts(layout):
        run(["umount", "-l", mount])
    network.remove(layout.namespace)
    # The kernel lets go of a cgroup a moment after its last process.
    until(lambda: _removed(layout.namespace), _UNMOUNT_SECONDS)
    for socket in shim_sockets:
        socket.unlink(missing_ok=True)
    shutil.rmtree(layout.data, ignore_errors=True)
    shutil.rmtree(layout.run, ignore_errors=True)


def left(layout: Layout) -> list[str]:
    """What is still there of a cluster, in words; empty when nothing is."""
    found = [f"process {pid}" for pid in sorted(cgroups.processes(layout.namespace))]
    found += [f"mount {path}" for path in mounts(layout)]
    found += [f"cgroup {path}" for path in cgroups.left(layout.namespace)]
    found += [f"folder {path}" for path in (layout.run, layout.data) if path.exists()]
    if network.path(layout.namespace).exists():
        found.append(f"network namespace {layout.namespace}")
    return found


def mounts(layout: Layout) -> list[Path]:
    """The mounts below the cluster's folders, innermost first."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    # /proc/mounts writes a space as \\040.
    paths = [Path(point.replace("\\040", " ")) for point in points]
    return sorted((p for p in paths if p.is_relative_to(layout.run) or p.is_relative_to(layout.data)), reverse=True)


def _shim_sockets(layout: Layout) -> list[Path]:
    """The sockets that containerd's shims keep in a folder of the whole machine; each shim's bundle names its own."""
    files = (layout.run / "containerd" / "io.containerd.runtime.v2.task").glob("*/*/address")
    return [Path(file.read_text().strip().removeprefix("unix://")) for file in files]


def _removed(name: str) -> bool:
    try:
        cgroups.remove(name)
    except OSError:
        return False
    return True
