"""A cluster made by kind, where docker or podman runs: the same calls, two commands behind them.

The machines that this project's own tests run on have no container engine, so nothing has exercised this file there.
It is kept this small for that reason.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.cluster import tools
from tests.cluster.errors import ClusterError
from tests.cluster.paths import REPOSITORY, Layout
from tests.cluster.progress import say, timed
from tests.cluster.provider import engine
from tests.cluster.record import Record
from tests.cluster.shell import run

_CREATE_SECONDS = 600


class KindCluster:
    """A cluster of kind's, with kind-config.yaml of this repository."""

    kind = "kind"

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def kubeconfig(self) -> Path:
        record = Record.read(self.name)
        return Path(record.kubeconfig) if record else Layout.of(self.name).kubeconfig

    def up(self) -> Path:
        layout = Layout.of(self.name)
        if not self.faults():
            say(f"cluster {self.name} runs already")
            return layout.kubeconfig
        self.down()
        layout.data.mkdir(parents=True, exist_ok=True)
        Record(self.name, self.kind, str(layout.kubeconfig), str(layout.data)).save()
        with timed(f"kind cluster {self.name} is ready"):
            words = [
                "create",
                "cluster",
                f"--name={self._kind_name}",
                f"--kubeconfig={layout.kubeconfig}",
                "--wait=180s",
            ]
            self._kind(*words, f"--config={REPOSITORY}/kind-config.yaml")
        return layout.kubeconfig

    def down(self) -> None:
        self._kind("delete", "cluster", f"--name={self._kind_name}")
        layout = Layout.of(self.name)
        layout.kubeconfig.unlink(missing_ok=True)
        shutil.rmtree(layout.run, ignore_errors=True)

    def faults(self) -> list[str]:
        record = Record.read(self.name)
        if record is None:
            return [f"cluster {self.name} does not run"]
        try:
            run([*tools.kubectl(), f"--kubeconfig={record.kubeconfig}", "get", "--raw", "/readyz"], timeout_seconds=20)
        except ClusterError as error:
            return [str(error)]
        return []

    def load_image(self, reference: str, archive: Path, image_id: str) -> bool:
        record = Record.read(self.name)
        if record is None:
            raise ClusterError(f"cluster {self.name} does not run: `python -m tests.cluster up --name {self.name}`")
        if record.images.get(reference) == image_id:
            return False
        self._kind("load", "image-archive", str(archive), f"--name={self._kind_name}")
        record.images[reference] = image_id
        record.save()
        return True

    def _kind(self, *words: str) -> None:
        environment = os.environ | {"KIND_EXPERIMENTAL_PROVIDER": engine() or "docker"}
        run([*tools.kind(), *words], env=environment, timeout_seconds=_CREATE_SECONDS)

    @property
    def _kind_name(self) -> str:
        return f"crewline-{self.name}"
