"""Storage for the node: a default StorageClass and volumes that wait to be claimed, each an empty folder.

kind and most clusters provision volumes on demand; a provisioner here would be one more image to build for nothing.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from tests.cluster.paths import Layout
from tests.cluster.pki import NODE_NAME
from tests.cluster.shell import run

#: How many claims can be served before `renew` is called.
VOLUMES = 64
_CLASS = "standard"


def create(layout: Layout, kubectl: list[str | Path]) -> None:
    """Make the class, the folders and the objects that offer them."""
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    storage_class: dict[str, object] = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": _CLASS, "annotations": default},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    _create(kubectl, [storage_class, *(_volume(layout, f"local-{number:02}") for number in range(VOLUMES))])


def renew(layout: Layout, kubectl: list[str | Path]) -> None:
    """Empty the volumes whose claims are gone and offer them again: no one else does so for a local volume."""
    listed = json.loads(run([*kubectl, "get", "persistentvolumes", "-o", "json"]))["items"]
    released = [item for item in listed if item["status"]["phase"] == "Released"]
    if released:
        names = [item["metadata"]["name"] for item in released]
        run([*kubectl, "delete", "persistentvolumes", *names])
        for item in released:
            shutil.rmtree(item["spec"]["local"]["path"])
        _create(kubectl, [_volume(layout, name) for name in names])


def _create(kubectl: list[str | Path], objects: Iterable[dict[str, object]]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    run([*kubectl, "create", "--validate=false", "-f", "-"], stdin=text)


def _folder(layout: Layout, name: str) -> Path:
    return layout.data / "volumes" / name


def _volume(layout: Layout, name: str) -> dict[str, object]:
    _folder(layout, name).mkdir(parents=True)
    here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": _CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(_folder(layout, name))},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}},
        },
    }
