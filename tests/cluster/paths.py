"""Where the harness keeps things: what is costly to make in the user's cache, what is running under the run folder.

Network namespaces, cgroups and mounts belong to the machine and not to a home folder. So the record of a running
cluster lies where every process of this user finds it, whatever `HOME` or `XDG_CACHE_HOME` it was given.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCES = Path(__file__).resolve().parent

#: A Unix socket's path holds 107 bytes; longer names would break the sockets in the run folder.
NAME_LENGTH_MAX = 24


def cache() -> Path:
    """The folder for what is built once: binaries, tools, base images."""
    home = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(home) if home else Path.home() / ".cache") / "crewline"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def run_root() -> Path:
    """The folder with one sub-folder for each cluster that runs now."""
    return Path("/run/crewline") if os.geteuid() == 0 else cache() / "run"


def lock_file(name: str) -> Path:
    """The file whose lock is held while a cluster is started or taken down."""
    return run_root() / "lock" / name


@dataclass(frozen=True)
class Layout:
    """The names and folders of one cluster. Two clusters with different names share none of them."""

    name: str
    run: Path
    data: Path

    @property
    def record(self) -> Path:
        return self.run / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        return self.data / "kubeconfig"

    @property
    def pki(self) -> Path:
        return self.data / "pki"

    @property
    def log(self) -> Path:
        return self.data / "log"

    @property
    def audit(self) -> Path:
        """What configuration.AUDITED have asked of the API server, a JSON object a line."""
        return self.log / "audit.jsonl"

    @property
    def containerd_socket(self) -> Path:
        return self.run / "containerd.sock"

    @property
    def api_socket(self) -> Path:
        return self.run / "api.sock"

    @property
    def namespace(self) -> str:
        """The network namespace, and the name of the cgroup in every hierarchy."""
        return f"crewline-{self.name}"

    @classmethod
    def of(cls, name: str) -> Layout:
        return cls(name=name, run=run_root() / name, data=cache() / "clusters" / name)
