"""A folder of the wheels that an image needs, so that its build asks no package index.

The lock file's markers speak of the image's Python, which may differ from the one that runs this.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import sys
import tempfile
import tomllib
from pathlib import Path

from tests.cluster import progress
from tests.cluster.lock import locked
from tests.cluster.paths import REPOSITORY, cache
from tests.cluster.shell import run

_PIP_VERSION = "26.3"
_ESTIMATE_SECONDS = 20.0


def key(lock: Path, python_version: str) -> str:
    """The hash that names a wheelhouse."""
    wanted = f"{lock.read_text()}\0{python_version}\0{_build_tools()}\0{platform.machine()}"
    return hashlib.sha256(wanted.encode()).hexdigest()[:16]


def wheelhouse(lock: Path, python_version: str) -> Path:
    """The folder with the wheels of a lock file for Linux and a Python version, filled first if need be."""
    target = cache() / "wheelhouse" / f"{lock.stem}-{key(lock, python_version)}"
    if not target.exists():
        with locked(cache() / "lock" / "wheelhouse", "filling a wheelhouse"):
            if not target.exists():
                _fill(target, lock, python_version)
    return target


def pip_build_arguments() -> dict[str, str]:
    """The build arguments that make an image's build use the wheelhouse that lies in /wheels there."""
    pip = f"python3 /wheels/pip-{_PIP_VERSION}-py3-none-any.whl/pip"
    return {"PIP": pip, "PIP_ARGS": "--no-index --find-links=/wheels"}


def _fill(target: Path, lock: Path, python_version: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as made:
        folder = Path(made, "wheels")
        tools = Path(made, "build-tools.in")
        tools.write_text("\n".join(_build_tools()))
        log = cache() / "log" / f"wheelhouse-{lock.stem}.log"
        for what, wanted in ((f"{lock.stem}'s wheels", ["--no-deps", lock]), ("the build's wheels", [tools])):
            # pip would evaluate the markers for the Python that runs it; uv does so for the one it is told.
            resolved = Path(made, "resolved.txt")
            run([
                *_module("uv"), "pip", "compile", "--quiet", "--generate-hashes", "--no-header",
                f"--constraints={REPOSITORY}/requirements/dev.txt",
                f"--python-version={python_version}", f"--python-platform={platform.machine()}-manylinux_2_28",
                f"--output-file={resolved}", *wanted,
            ])  # fmt: skip
            words = [
                *_pip(), "download", "--quiet", "--only-binary=:all:", "--no-deps", "--require-hashes",
                f"--dest={folder}", f"--requirement={resolved}",
                f"--python-version={python_version.rsplit('.', 1)[0]}",
                *(f"--platform={tag}" for tag in _platforms()),
            ]  # fmt: skip
            progress.run_long(f"downloading {what}", words, estimate_seconds=_ESTIMATE_SECONDS, log=log)
            resolved.unlink()
        folder.rename(target)


def _build_tools() -> list[str]:
    """The pip that installs inside the image and what builds this repository's own wheel there."""
    requires: list[str] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["build-system"]["requires"]
    return [f"pip=={_PIP_VERSION}", *requires]


def _platforms() -> list[str]:
    machine = platform.machine()
    return [f"manylinux_2_{minor}_{machine}" for minor in (28, 24, 17)] + [f"manylinux2014_{machine}"]


def _pip() -> list[str]:
    """A virtual environment that uv made has no pip of its own."""
    return _module("pip") if importlib.util.find_spec("pip") else [*_module("uv"), "tool", "run", "pip"]


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]
