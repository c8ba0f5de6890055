"""The pod of a larger worker: as the others', but for its memory, and that it ends by itself once no job waits for it.

A pod of its own and not one of a Deployment: nothing has to decide when it is idle, and nothing ever ends it while it
is busy. Where its container dies the kubelet starts another one in it.
"""

from __future__ import annotations

from typing import Any

from crewline_operator.effects.actions import Apply
from crewline_operator.jobqueue.children.deployment import DeploymentInputs, build_pod_template
from crewline_operator.jobqueue.children.labels import metadata_of
from crewline_operator.jobqueue.children.template import CONTAINER
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.do_not_disrupt import DO_NOT_DISRUPT
from crewline_operator.model.names import GROUP, LARGER_LABEL

#: Of the manifest: a pod's can't be changed, so that one that can't start has to be made anew.
MANIFEST_DIGEST = f"{GROUP}/manifest-digest"
#: A host is called as its pod, cut off there; a worker is called as its host.
HOST_MAX_CHARS = 63


def larger_name(jobqueue: JobQueue) -> str:
    """The pod's name."""
    return f"{jobqueue.name}-larger"


def larger_worker(jobqueue: JobQueue) -> str:
    """What its worker is called on the jobs that it runs."""
    return larger_name(jobqueue)[:HOST_MAX_CHARS].rstrip("-.")


def build_larger_pod(jobqueue: JobQueue, inputs: DeploymentInputs, memory: str) -> dict[str, Any]:
    """The manifest to apply. Raises Unmergeable for a template that has a fault."""
    template = build_pod_template(jobqueue, inputs)
    metadata, own = template["metadata"], metadata_of(jobqueue)
    manifest: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **own,
            "name": larger_name(jobqueue),
            "labels": {**metadata.get("labels", {}), LARGER_LABEL: "true"},
            "annotations": dict(metadata.get("annotations", {})) | _asking(jobqueue),
        },
        "spec": {
            **template["spec"],
            "restartPolicy": "OnFailure",
            "containers": [
                _larger(each, memory) if each["name"] == CONTAINER else each for each in template["spec"]["containers"]
            ],
        },
    }
    manifest["metadata"]["annotations"][MANIFEST_DIGEST] = Apply(manifest).digest[:16]
    return manifest


def _asking(jobqueue: JobQueue) -> dict[str, str]:
    """What keeps it where it is, if the spec says so: it is there for as long as it is busy."""
    return DO_NOT_DISRUPT if jobqueue.worker.disruption.shields_busy else {}


def _larger(container: dict[str, Any], memory: str) -> dict[str, Any]:
    resources = container.get("resources", {})
    # Reserved, so that it comes to a node that has it.
    grown = {each: {**resources.get(each, {}), "memory": memory} for each in ("requests", "limits")}
    env = [*container.get("env", ()), {"name": "CREWLINE_LARGER", "value": "1"}]
    return {**container, "env": env, "resources": {**resources, **grown}}
