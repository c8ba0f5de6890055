"""The Debian packages that a node and its images need: which are missing, and how they come onto the machine."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.cluster import progress
from tests.cluster.errors import ClusterError
from tests.cluster.lock import locked
from tests.cluster.paths import cache

#: package: a file that shows that it is there (a command on PATH, or a path)
NODE = {
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "iproute2": "ip",
    "nftables": "nft",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "kmod": "modprobe",
    "socat": "socat",
    "openssl": "openssl",
    "mount": "umount",
    "util-linux": "nsenter",
}
IMAGES = {
    "buildah": "buildah",
    "crun": "crun",
    "mmdebstrap": "mmdebstrap",
}

_INSTALL_SECONDS = 30.0
_POLICY = Path("/usr/sbin/policy-rc.d")


def missing(packages: Mapping[str, str]) -> list[str]:
    """The packages of which nothing is seen on this machine."""
    # Not every user's PATH has the folders of the system's own commands.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return [name for name, shown_by in packages.items() if shutil.which(shown_by, path=path) is None]


def install(packages: Mapping[str, str]) -> None:
    """Install what is missing as root on Debian, starting none of its services; raises ClusterError anywhere else."""
    absent = missing(packages)
    if not absent:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(
            f"missing: {', '.join(absent)} (Debian's names): install them, or run this as root on Debian"
        )
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    log = cache() / "log" / "apt.log"
    with locked(cache() / "lock" / "apt", "installing packages"), _services_stay_off():
        update = ["apt-get", "-q", "update"]
        progress.run_long("updating Debian's package lists", update, estimate_seconds=10, log=log, env=environment)
        words = ["apt-get", "-q", "install", "-y", "--no-install-recommends", *absent]
        title = f"installing {', '.join(absent)}"
        progress.run_long(title, words, estimate_seconds=_INSTALL_SECONDS, log=log, env=environment)


@contextlib.contextmanager
def _services_stay_off() -> Iterator[None]:
    """Have Debian start none of the services it installs; a machine that has a policy of its own keeps it."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)
