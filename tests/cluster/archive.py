"""Writes a container image of one static program as a docker archive, for which no image builder is needed."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path


def write_single_file_image(archive: Path, reference: str, program: Path, entry_point: str) -> None:
    """Write an archive that `ctr image import` and `docker load` take."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        file = tar.gettarinfo(program, arcname=entry_point.lstrip("/"))
        file.mode, file.uid, file.gid, file.uname, file.gname, file.mtime = 0o755, 0, 0, "", "", 0
        with program.open("rb") as content:
            tar.addfile(file, content)
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": machine,
        "os": "linux",
        "config": {"Entrypoint": [entry_point]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        for name, content_bytes in (
            ("config.json", json.dumps(config).encode()),
            ("layer.tar", layer.getvalue()),
            ("manifest.json", json.dumps(manifest).encode()),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content_bytes)
            tar.addfile(entry, io.BytesIO(content_bytes))
