"""The file system that images stand on where no registry serves one: Debian with Python, made by mmdebstrap.

Made once and kept in the cache, under a name that the release and the list of packages decide.
"""

from __future__ import annotations

import hashlib
import json
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import progress
from tests.cluster.lock import locked
from tests.cluster.paths import cache

_PACKAGES = ("python3", "tini", "ca-certificates", "tzdata")
_LEFT_OUT = ("doc", "man", "info", "locale")
_ESTIMATE_SECONDS = 35.0


@dataclass(frozen=True)
class Base:
    """A root file system."""

    key: str
    archive: Path
    #: All three numbers: what a lock file pins may depend on the last one.
    python_version: str


def base() -> Base:
    """The base, made first where the cache does not hold it yet. Needs root, mmdebstrap and Debian's packages."""
    release = _release()
    wanted = json.dumps([release, platform.machine(), _PACKAGES, _LEFT_OUT])
    key = hashlib.sha256(wanted.encode()).hexdigest()[:16]
    folder = cache() / "base" / key
    if not folder.exists():
        with locked(cache() / "lock" / "base", "making the base image"):
            if not folder.exists():
                _make(folder, release)
    return Base(key, folder / "base.tar", (folder / "python-version").read_text().strip())


def _make(target: Path, release: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as made:
        folder = Path(made, "base")
        folder.mkdir()
        ask_version = 'chroot "$1" python3 -c "import platform; print(platform.python_version())"'
        words = [
            "mmdebstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}",
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT),
            f"--customize-hook={ask_version} >'{folder}/python-version'",
            release, f"{folder}/base.tar",
        ]  # fmt: skip
        log = cache() / "log" / "base.log"
        progress.run_long("making the images' base", words, estimate_seconds=_ESTIMATE_SECONDS, log=log)
        folder.rename(target)


def _release() -> str:
    """The Debian release of this machine, whose keys are at hand."""
    values = platform.freedesktop_os_release()
    return values.get("VERSION_CODENAME", "bookworm") if values.get("ID") == "debian" else "bookworm"
