"""The cgroup of one cluster: one folder of its name in every hierarchy, with all its processes below it.

It is what makes the end of a cluster certain. Components, shims and pods sit in it, whoever started them and whoever
died meanwhile; so whatever is in it gets killed, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from tests.cluster.errors import ClusterError
from tests.cluster.process import Identity

#: How long killed processes may take to leave before it counts as a fault.
KILL_SECONDS = 20.0


def hierarchies() -> list[Path]:
    """Where this machine's cgroups are mounted: one folder on cgroup v2, one for each controller on v1."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return [Path(fields[1]) for fields in mounts if fields[2] in ("cgroup", "cgroup2")]


def create(name: str) -> Path:
    """Make sure that the cluster's cgroup is everywhere, and return the folder that its components are to join."""
    components: list[Path] = []
    for hierarchy in hierarchies():
        version_2 = (hierarchy / "cgroup.controllers").exists()
        if version_2:
            _pass_on_controllers(hierarchy)
        group = hierarchy / name
        for folder in (group, group / "components"):
            folder.mkdir(exist_ok=True)
            # A new cpuset is empty in v1, and no process may join an empty one.
            for file in ("cpuset.cpus", "cpuset.mems"):
                if not version_2 and (folder / file).exists():
                    (folder / file).write_text((folder.parent / file).read_text())
        # With v1 any one hierarchy is enough to find a process by; `pids` limits and accounts nothing by itself.
        if version_2 or hierarchy.name == "pids":
            components.append(group / "components")
    if not components:
        raise ClusterError("this machine mounts no cgroups under /sys/fs/cgroup, which containers need")
    return min(components, key=lambda folder: "unified" in folder.parts)


def processes(name: str) -> set[int]:
    """The ids of all processes that the cluster has now."""
    found: set[int] = set()
    for hierarchy in hierarchies():
        for file in (hierarchy / name).glob("**/cgroup.procs"):
            # A pod's cgroup may go between its listing and its reading.
            with contextlib.suppress(OSError):
                found.update(int(pid) for pid in file.read_text().split())
    return found


def kill(name: str) -> None:
    """Kill all processes of the cluster and wait until they are gone."""
    deadline = time.monotonic() + KILL_SECONDS
    killed: set[Identity] = set()
    while True:
        # Again and again: a shim may start a process between the listing and its own end.
        listed = processes(name)
        for pid in listed:
            if identity := Identity.of(pid):
                killed.add(identity)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        # A dying process leaves its cgroup before it lets go of its sockets, mounts and memory.
        left = {identity.pid for identity in killed if identity.alive()}
        if not listed and not left:
            return
        if time.monotonic() > deadline:
            raise ClusterError(f"processes {sorted(listed | left)} of cgroup {name} don't end: look at them with `ps`")
        time.sleep(0.02)


def remove(name: str) -> None:
    """Remove the cluster's cgroup everywhere; its processes have ended before."""
    for hierarchy in hierarchies():
        group = hierarchy / name
        if group.exists():
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(FileNotFoundError):
                    Path(folder).rmdir()


def left(name: str) -> list[Path]:
    """The cluster's cgroups that still exist."""
    return [hierarchy / name for hierarchy in hierarchies() if (hierarchy / name).exists()]


def _pass_on_controllers(root: Path) -> None:
    for controller in (root / "cgroup.controllers").read_text().split():
        # A controller that v1 holds, or that can't be handed down, is refused; the kubelet then names what it misses.
        with contextlib.suppress(OSError):
            (root / "cgroup.subtree_control").write_text(f"+{controller}")
