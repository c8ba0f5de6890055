"""A folder of the wheels that an image needs, so that its build asks no package index.

The lock file's markers speak of the image's Python, which may differ from the one that runs this.
"""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import sys
import tempfile
from pathlib import Path

from tests.cluster import progress
from tests.cluster.lock import locked
from tests.cluster.paths import REPOSITORY, cache
from tests.cluster.shell import run

#: The pip that installs inside the image and what builds this repository's own wheel there.
_BUILD_TOOLS = ("pip==26.3", "hatchling==1.27.0")
_ESTIMATE_SECONDS = 20.0


def key(lock: Path, python_version: str) -> str:
    """The hash that names a wheelhouse."""
    wanted = f"{lock.read_text()}\0{python_version}\0{_BUILD_TOOLS}\0{platform.machine()}"
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
    name, version = _BUILD_TOOLS[0].split("==")
    return {
        "PIP": f"python3 /wheels/{name}-{version}-py3-none-any.whl/pip",
        "PIP_ARGS": "--no-index --find-links=/wheels",
    }


def _fill(target: Path, lock: Path, python_version: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as made:
        folder = Path(made, "wheels")
        # pip would evaluate the markers for the Python that runs it; uv does so for the one it is told.
        resolved = Path(made, "lock.txt")
        run([
            *_module("uv"), "pip", "compile", "--quiet", "--no-deps", "--generate-hashes", "--no-header",
            f"--python-version={python_version}", f"--python-platform={platform.machine()}-manylinux_2_28",
            f"--output-file={resolved}", lock,
        ])  # fmt: skip
        major_minor = python_version.rsplit(".", 1)[0]
        download = [
            *_pip(), "download", "--quiet", "--only-binary=:all:", f"--dest={folder}",
            f"--python-version={major_minor}",
            *(f"--platform={tag}" for tag in _platforms()),
        ]  # fmt: skip
        log = cache() / "log" / f"wheelhouse-{lock.stem}.log"
        for what, words in (
            (f"{lock.stem}'s wheels", ["--no-deps", "--require-hashes", f"--requirement={resolved}"]),
            ("the build's wheels", list(_BUILD_TOOLS)),
        ):
            title = f"downloading {what}"
            progress.run_long(title, [*download, *words], estimate_seconds=_ESTIMATE_SECONDS, log=log, cwd=REPOSITORY)
        folder.rename(target)


def _platforms() -> list[str]:
    machine = platform.machine()
    return [f"manylinux_2_{minor}_{machine}" for minor in (28, 24, 17)] + [f"manylinux2014_{machine}"]


def _pip() -> list[str]:
    """A virtual environment that uv made has no pip of its own."""
    return _module("pip") if importlib.util.find_spec("pip") else [*_module("uv"), "tool", "run", "pip"]


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]
