"""The npm packages that an image needs, in a folder, so that its build asks no registry."""

from __future__ import annotations

import hashlib
import platform
import shutil
import tempfile
from pathlib import Path

from tests.cluster import progress
from tests.cluster.lock import locked
from tests.cluster.paths import cache

_ESTIMATE_SECONDS = 10.0


def modules(lock: Path) -> Path:
    """The folder with `node_modules` as a lock file has them, filled first if need be."""
    key = hashlib.sha256(f"{lock.read_text()}\0{platform.machine()}".encode()).hexdigest()[:16]
    target = cache() / "modules" / f"{lock.parent.name}-{key}"
    if not target.exists():
        with locked(cache() / "lock" / "modules", "filling a folder of npm packages"):
            if not target.exists():
                _fill(target, lock)
    return target


def _fill(target: Path, lock: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as made:
        folder = Path(made, "modules")
        folder.mkdir()
        for name in ("package.json", lock.name, ".npmrc"):
            shutil.copyfile(lock.parent / name, folder / name)
        words = ["npm", "ci", f"--prefix={folder}", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=error"]
        log = cache() / "log" / f"modules-{lock.parent.name}.log"
        progress.run_long(
            f"downloading {lock.parent.name}'s packages", words, estimate_seconds=_ESTIMATE_SECONDS, log=log
        )
        for name in ("package.json", lock.name, ".npmrc"):
            (folder / name).unlink()
        folder.rename(target)
