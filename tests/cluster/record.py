"""What is on disk about a running cluster: enough to use it, to judge it and to take it down from another process."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.cluster.paths import Layout, run_root
from tests.cluster.process import Identity


@dataclass
class Record:
    """The state of one cluster, rewritten whenever something was started, before that is waited for."""

    name: str
    provider: str
    kubeconfig: str
    data: str
    port: int = 0
    components: dict[str, Identity] = field(default_factory=dict)
    #: The kernel settings before the first of the clusters that run now.
    kernel: dict[str, str] = field(default_factory=dict)
    #: reference -> id of the images that were loaded
    images: dict[str, str] = field(default_factory=dict)

    @property
    def layout(self) -> Layout:
        # The data folder is the one it was made with: another HOME may ask now.
        return Layout(name=self.name, run=run_root() / self.name, data=Path(self.data))

    def save(self) -> None:
        """Write the record by rename, so that no reader ever sees half of one."""
        path = self.layout.record
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=1))
        new.replace(path)

    def dead(self) -> list[str]:
        """The components that are no longer running."""
        return [name for name, identity in self.components.items() if not identity.alive()]

    @classmethod
    def read(cls, name: str) -> Record | None:
        """The record of a cluster, None if there is none."""
        try:
            values = json.loads((run_root() / name / "cluster.json").read_text())
        except FileNotFoundError:
            return None
        values["components"] = {key: Identity(**value) for key, value in values["components"].items()}
        return cls(**values)

    @classmethod
    def all(cls) -> list[Record]:
        """The records of all clusters of this user on this machine."""
        found = (cls.read(path.parent.name) for path in sorted(run_root().glob("*/cluster.json")))
        return [record for record in found if record is not None]

    @classmethod
    def of_kubeconfig(cls, path: str) -> Record | None:
        """The cluster of ours that a kubeconfig belongs to, None if it is somebody else's."""
        return next((r for r in cls.all() if os.path.realpath(r.kubeconfig) == os.path.realpath(path)), None)
