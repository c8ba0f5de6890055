"""Storage for the node: a default StorageClass and a few volumes that wait to be claimed, each an empty folder.

kind and most clusters provision volumes on demand; a provisioner here would be one more image to build for nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.cluster.paths import Layout
from tests.cluster.pki import NODE_NAME
from tests.cluster.shell import run

#: A volume serves one claim and is not cleaned for a second one, so this is how many claims a cluster can serve.
VOLUMES = 32
_CLASS = "standard"


def create(layout: Layout, kubectl: list[str | Path]) -> None:
    """Make the folders and the objects that offer them."""
    objects: list[dict[str, object]] = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": _CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
        }
    ]
    for number in range(VOLUMES):
        folder = layout.data / "volumes" / f"{number:02}"
        folder.mkdir(parents=True)
        objects.append(_volume(folder))
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    run([*kubectl, "create", "--validate=false", "-f", "-"], stdin=text)


def _volume(folder: Path) -> dict[str, object]:
    here = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"local-{folder.name}"},
        "spec": {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": _CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "local": {"path": str(folder)},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [here]}},
        },
    }
