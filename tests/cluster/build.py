"""Builds each Go program once and keeps it in the user's cache, under a name that its sources decide.

The key is a hash of the module's files and of the Go version, so a changed source or toolchain builds anew and
nothing else does. A finished binary appears by rename: whoever finds the file finds all of it.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import progress
from tests.cluster.errors import ClusterError
from tests.cluster.lock import locked
from tests.cluster.paths import SOURCES, cache
from tests.cluster.shell import run

KUBERNETES_VERSION = "1.37.2"
_MAJOR, _MINOR, _ = KUBERNETES_VERSION.split(".")
_VERSION_PACKAGE = "k8s.io/component-base/version"

#: Two compilers at a time: more of them would need more memory than a small machine has.
PARALLEL_COMPILERS = "2"


@dataclass(frozen=True)
class Program:
    """A Go module in this folder and what it takes to build it."""

    name: str
    estimate_seconds: float
    ldflags: str = "-s -w"

    @property
    def module(self) -> Path:
        return SOURCES / self.name

    def key(self) -> str:
        """The hash that names the built binary."""
        digest = hashlib.sha256()
        for path in sorted([self.module / "go.mod", *self.module.glob("go.sum"), *self.module.glob("*.go")]):
            digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
        digest.update(f"{self.ldflags}\0{go_version(self.module)}".encode())
        return digest.hexdigest()[:16]


KUBE = Program(
    "kube",
    estimate_seconds=480,
    ldflags=(
        f"-s -w -X {_VERSION_PACKAGE}.gitVersion=v{KUBERNETES_VERSION}"
        f" -X {_VERSION_PACKAGE}.gitMajor={_MAJOR} -X {_VERSION_PACKAGE}.gitMinor={_MINOR}"
    ),
)
DNS = Program("dns", estimate_seconds=60)
PAUSE = Program("pause", estimate_seconds=5)


def binary(program: Program) -> Path:
    """The program's binary, built first where the cache does not hold it yet."""
    return _once(
        cache() / "bin" / f"{program.name}-{program.key()}",
        program.name,
        program.estimate_seconds,
        ["go", "build", "-trimpath", "-p", PARALLEL_COMPILERS, "-ldflags", program.ldflags, "-o", program.name, "."],
        program.module,
    )


def installed(package: str, version: str, estimate_seconds: float) -> Path:
    """Somebody else's Go command at a fixed version, built into the cache."""
    name = package.rsplit("/", 1)[-1]
    return _once(
        cache() / "bin" / f"{name}-{version}",
        name,
        estimate_seconds,
        ["go", "install", "-trimpath", "-p", PARALLEL_COMPILERS, "-ldflags", "-s -w", f"{package}@{version}"],
        SOURCES,
    )


def built() -> dict[str, bool]:
    """Which of the node's programs the cache holds already."""
    return {p.name: (cache() / "bin" / f"{p.name}-{p.key()}").exists() for p in (KUBE, DNS, PAUSE)}


def go_version(module: Path) -> str:
    """The version of Go that builds in a folder; raises ClusterError where there is none or one too old for it."""
    try:
        found = run(["go", "env", "GOVERSION"], cwd=module).strip()
    except ClusterError as error:
        wanted = _go_wanted(module)
        if shutil.which("go") is None:
            raise ClusterError(
                f"Go is not installed: put Go {wanted} or newer on PATH (it builds Kubernetes)"
            ) from None
        raise ClusterError(f"Go can't build {module.name}, which needs Go {wanted} or newer:\n{error}") from None
    wanted = _go_wanted(module)
    if _numbers(found) < _numbers(wanted):
        raise ClusterError(f"Go on PATH is {found}, but {module.name} needs Go {wanted} or newer: put that on PATH")
    return found


def _once(target: Path, name: str, estimate_seconds: float, argv: list[str], cwd: Path) -> Path:
    """Build a file unless it is there; the command writes `name` to the folder that GOBIN or `-o` gives."""
    if target.exists():
        return target
    go_version(cwd)
    with locked(cache() / "lock" / name, f"building {name}"):
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
            words = [f"{folder}/{word}" if before == "-o" else word for before, word in itertools.pairwise(["", *argv])]
            log = cache() / "log" / f"build-{name}.log"
            environment = os.environ | {"GOBIN": folder}
            progress.run_long(
                f"building {name}", words, estimate_seconds=estimate_seconds, log=log, cwd=cwd, env=environment
            )
            Path(folder, name).rename(target)
    return target


def _go_wanted(module: Path) -> str:
    """The `go` line of the module; the oldest Go that runs the others' commands where there is no module."""
    file = module / "go.mod"
    line = re.search(r"^go (\S+)$", file.read_text(), re.MULTILINE) if file.exists() else None
    return line.group(1) if line else "1.26.0"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
