"""Builds a Dockerfile: with docker or podman where one answers, else with buildah, which needs no daemon."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from tests.cluster import debian, modules, progress, wheelhouse
from tests.cluster.base import Base, base
from tests.cluster.paths import cache, run_root
from tests.cluster.provider import engine
from tests.cluster.shell import run


class Builder(Protocol):
    """What the images need of a builder."""

    def arguments(self) -> dict[str, str]:
        """The build arguments that this builder adds to each image."""
        ...

    def wheels(self, lock: Path) -> Path | None:
        """The folder of wheels that an image is to be built from; None where it asks an index itself."""
        ...

    def modules(self, lock: Path) -> Path | None:
        """The folder with the npm packages that an image is to be built from; None where it asks a registry itself."""
        ...

    def build(self, reference: str, context: Path, estimate_seconds: float) -> str:
        """Build `context/Dockerfile` and return the image's id."""
        ...

    def pull(self, reference: str) -> str | None:
        """Take an image from a registry and return its id; None for a builder that knows no registry."""
        ...

    def save(self, reference: str, archive: Path) -> None:
        """Write an image as a docker archive."""
        ...


def builder() -> Builder:
    """The builder of this machine."""
    found = engine()
    if found:
        return _Engine(found)
    debian.install(debian.IMAGES)
    return _Buildah(base())


class _Engine:
    def __init__(self, command: str) -> None:
        self.command = command

    def arguments(self) -> dict[str, str]:
        return {}

    def wheels(self, lock: Path) -> Path | None:
        return None

    def modules(self, lock: Path) -> Path | None:
        return None

    def build(self, reference: str, context: Path, estimate_seconds: float) -> str:
        words: list[str | Path] = [
            self.command,
            "build",
            "--quiet",
            f"--tag={reference}",
            *_words(self.arguments()),
            context,
        ]
        _run_build(words, reference, estimate_seconds)
        return self._id(reference)

    def pull(self, reference: str) -> str | None:
        run([self.command, "pull", "--quiet", reference], timeout_seconds=600)
        return self._id(reference)

    def save(self, reference: str, archive: Path) -> None:
        run([self.command, "save", "--output", archive, reference], timeout_seconds=600)

    def _id(self, reference: str) -> str:
        return run([self.command, "image", "inspect", "--format={{.Id}}", reference]).strip().removeprefix("sha256:")


class _Buildah:
    def __init__(self, root: Base) -> None:
        self.root = root
        self.reference = f"localhost/crewline-base:{root.key}"

    def arguments(self) -> dict[str, str]:
        return {"BASE": self.reference, **wheelhouse.pip_build_arguments()}

    def wheels(self, lock: Path) -> Path | None:
        return wheelhouse.wheelhouse(lock, self.root.python_version)

    def modules(self, lock: Path) -> Path | None:
        return modules.modules(lock)

    def build(self, reference: str, context: Path, estimate_seconds: float) -> str:
        self._import_base()
        self._bud(reference, context, self.arguments(), estimate_seconds)
        return self._id(reference)

    def pull(self, reference: str) -> str | None:
        return None

    def save(self, reference: str, archive: Path) -> None:
        policy = self._policy()
        target = f"docker-archive:{archive}:{reference}"
        run(
            [*self._buildah(), "push", "--quiet", f"--signature-policy={policy}", reference, target],
            timeout_seconds=600,
        )

    def _import_base(self) -> None:
        if self.reference in run([*self._buildah(), "images", "--format={{.Name}}:{{.Tag}}"]).split():
            return
        context = self.root.archive.parent
        (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
        self._bud(self.reference, context, {}, 15)

    def _bud(self, reference: str, context: Path, arguments: Mapping[str, str], estimate_seconds: float) -> None:
        # The layers stay in the store: a change of code builds from the first step that it touches.
        flags = ["--quiet", "--isolation=chroot", "--layers", f"--signature-policy={self._policy()}"]
        words: list[str | Path] = [*self._buildah(), "bud", *flags, f"--tag={reference}", *_words(arguments), context]
        _run_build(words, reference, estimate_seconds)

    def _id(self, reference: str) -> str:
        return run([*self._buildah(), "inspect", "--type=image", "--format={{.FromImageID}}", reference]).strip()

    def _buildah(self) -> list[str]:
        store = cache() / "buildah"
        store.mkdir(exist_ok=True)
        # The kernel stacks no overlay on an overlay, which a home folder inside a container may be.
        on_overlay = run(["stat", "--file-system", "--format=%T", store]).strip() == "overlayfs"
        driver = "vfs" if on_overlay else "overlay"
        # Another HOME has another store, and each store must have its own folder for what is mounted now.
        mounted = run_root() / "buildah" / hashlib.sha256(str(store).encode()).hexdigest()[:8]
        return ["buildah", f"--root={store}", f"--runroot={mounted}", f"--storage-driver={driver}"]

    def _policy(self) -> Path:
        """Images that are made here carry no signature."""
        path = cache() / "policy.json"
        # In one step: other builds read it at any time.
        written = path.with_suffix(f".{os.getpid()}")
        written.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        written.replace(path)
        return path


def _words(arguments: Mapping[str, str]) -> list[str]:
    return [f"--build-arg={name}={value}" for name, value in arguments.items()]


def _run_build(words: Sequence[str | Path], reference: str, estimate_seconds: float) -> None:
    log = cache() / "log" / f"image-{reference.rsplit('/', 1)[-1].replace(':', '-')}.log"
    progress.run_long(f"building {reference}", words, estimate_seconds=estimate_seconds, log=log, env=dict(os.environ))
