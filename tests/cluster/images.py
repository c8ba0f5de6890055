"""The images that the tests and the demo use: what each is made of, and how it gets into a cluster.

An image is built again only when something it is made of changed, and loaded only into a cluster that has not got it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.builder import Builder, builder
from tests.cluster.lock import locked
from tests.cluster.paths import REPOSITORY, cache
from tests.cluster.progress import say
from tests.cluster.provider import Provider


@dataclass(frozen=True)
class Image:
    """One image and its sources, as paths in this repository."""

    name: str
    reference: str
    dockerfile: str
    sources: tuple[str, ...] = ()
    lock: str | None = None
    #: A package-lock.json.
    npm_lock: str | None = None
    #: The folder that its Dockerfile's paths are in, '' for the repository.
    root: str = ""
    #: Whether a registry serves the image under this very name; it is built only where none is at hand.
    published: bool = False
    estimate_seconds: float = 20.0


@dataclass(frozen=True)
class Built:
    """An image that can be loaded."""

    image: Image
    id: str
    archive: Path


WORKER = Image(
    "worker",
    "localhost/crewline-worker:dev",
    "worker-image/Dockerfile",
    sources=("pyproject.toml", "engine"),
    lock="requirements/worker.txt",
)
OPERATOR = Image(
    "operator",
    "localhost/crewline-operator:dev",
    "operator/Dockerfile",
    sources=("pyproject.toml", "engine", "operator/crewline_operator"),
    lock="requirements/operator.txt",
)
REDIS = Image(
    "redis",
    "redis:7",
    "tests/cluster/redis/Dockerfile",
    published=True,
)
#: The example of a worker that is not Crewline's, which its own test builds.
BULLMQ_WORKER = Image(
    "bullmq-worker",
    "localhost/bullmq-worker:dev",
    "examples/bullmq-worker/Dockerfile",
    sources=tuple(f"examples/bullmq-worker/{name}" for name in ("worker.mjs", "package.json", ".npmrc")),
    npm_lock="examples/bullmq-worker/package-lock.json",
    root="examples/bullmq-worker",
)
ALL = (WORKER, OPERATOR, REDIS)


def build(*images: Image) -> list[Built]:
    """Build what changed of these images, or of all, and return them with their archives."""
    chosen = builder()
    return [_built(image, chosen) for image in images or ALL]


def load(cluster: Provider, *images: Image) -> list[Built]:
    """Build what changed of these images, or of all, give the cluster those it has not got, and return all."""
    loaded = build(*images)
    for built in loaded:
        began = time.monotonic()
        if cluster.load_image(built.image.reference, built.archive, built.id):
            say(f"{built.image.reference} is loaded ({time.monotonic() - began:.1f} s)")
    return loaded


def _built(image: Image, chosen: Builder) -> Built:
    folder = cache() / "images"
    with locked(cache() / "lock" / f"image-{image.name}", f"building {image.reference}"):
        key = _key(image, chosen)
        record, archive = folder / f"{image.name}.json", folder / f"{image.name}.tar"
        known = json.loads(record.read_text()) if record.exists() else {}
        if known.get("key") == key and archive.exists():
            return Built(image, known["id"], archive)
        record.unlink(missing_ok=True)
        image_id = chosen.pull(image.reference) if image.published else None
        if image_id is None:
            with tempfile.TemporaryDirectory(prefix="crewline-image-") as context:
                _stage(image, chosen, Path(context))
                image_id = chosen.build(image.reference, Path(context), image.estimate_seconds)
        folder.mkdir(exist_ok=True)
        archive.unlink(missing_ok=True)
        chosen.save(image.reference, archive)
        record.write_text(json.dumps({"key": key, "id": image_id}))
        return Built(image, image_id, archive)


def _key(image: Image, chosen: Builder) -> str:
    digest = hashlib.sha256(
        json.dumps([type(chosen).__name__, chosen.arguments(), image.reference, image.published]).encode()
    )
    for path in _files(image):
        digest.update(f"\0{path.relative_to(REPOSITORY)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _files(image: Image) -> Iterator[Path]:
    """All files that an image is made of."""
    for source in filter(None, (image.dockerfile, image.lock, image.npm_lock, *image.sources)):
        path = REPOSITORY / source
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)


def _stage(image: Image, chosen: Builder, context: Path) -> None:
    """Copy what a build needs into a folder of its own: less to hash and to send than the whole repository."""
    root = REPOSITORY / image.root
    for file in _files(image):
        target = context / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    (context / (REPOSITORY / image.dockerfile).relative_to(root)).rename(context / "Dockerfile")
    wheels = chosen.wheels(REPOSITORY / image.lock) if image.lock else None
    if wheels:
        shutil.copytree(wheels, context / "wheelhouse")
    packages = chosen.modules(REPOSITORY / image.npm_lock) if image.npm_lock else None
    if packages:
        shutil.copytree(packages, context / "modules", symlinks=True)
