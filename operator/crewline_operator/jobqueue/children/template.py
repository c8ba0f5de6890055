"""spec.worker.template: merged last over the workers' pod template, but for what is the operator's. Pure.

What the operator finds, counts and drains workers by may not be what somebody thinks it is. So the owned fields are
read off the template before and after the merge, and have to be the same, whether one is replaced, removed or added.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from crewline_operator.jobqueue.children.access import FILE_VARIABLES
from crewline_operator.jobqueue.children.access import PATH as TLS_PATH
from crewline_operator.jobqueue.children.access import VOLUME as TLS_VOLUME
from crewline_operator.kube.strategic_merge import POD_LISTS, Unmergeable, merge_objects
from crewline_operator.model.deletion_cost import DELETION_COST
from crewline_operator.model.fault import Fault
from crewline_operator.model.names import GROUP

Json = Mapping[str, Any]

INVALID_TEMPLATE = "InvalidTemplate"
PATH = "spec.worker.template"
CONTAINER = "worker"
CODE_VOLUME = "code"
CODE_PATH = "/opt/code"
#: Beside those of our group.
OWN_LABELS = frozenset(
    f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "part-of", "managed-by")
) | {"pod-template-hash"}
#: Variables that the operator sets, or leaves out because a field of spec.worker does.
OWN_VARIABLES = frozenset(
    f"CREWLINE_{name}"
    for name in (
        "QUEUE", "PREFIX", "HANDLER", "CONCURRENCY", "EXECUTION", "TIMEOUT_SECONDS", "GRACE_SECONDS",
        "DEAD_LETTER_QUEUE", "CODE_PATH", "HEALTH_PORT", "WORKER_ID", "MAX_CRASHES", "ON_OOM", "LARGER",
    )
)  # fmt: skip
#: ... and all that tell of the Redis.
OWN_PREFIX = "CREWLINE_REDIS_"
PROBES = ("startupProbe", "livenessProbe")
#: What a probe asks, and not how often.
PROBED_BY = ("httpGet", "tcpSocket", "exec", "grpc")
#: Owned fields that a field of the JobQueue is for.
INSTEAD = {
    "image": "spec.worker.image",
    "imagePullPolicy": "spec.worker.imagePullPolicy",
    "command": "spec.worker.command",
    "args": "spec.worker.args",
    "terminationGracePeriodSeconds": "spec.worker.gracePeriodSeconds",
    "serviceAccount": f"{PATH}.spec.serviceAccountName",
}


def is_own_variable(name: str) -> bool:
    """Whether the operator sets a variable, or a field of the JobQueue does."""
    return name in OWN_VARIABLES or name.startswith(OWN_PREFIX)


def merge_template(pod: Json, template: Json, own_annotations: Collection[str] = ()) -> dict[str, Any]:
    """The pod template to have; `own_annotations` are further ones of the operator's. Raises Unmergeable."""
    lists = {"metadata": {}, "spec": POD_LISTS}
    if not all(isinstance(template.get(part, {}), Mapping) for part in lists):
        raise Unmergeable(f"{PATH} is not a pod template")
    parts = {part: template.get(part, {}) for part in lists}
    merged = {part: merge_objects(pod[part], parts[part], lists[part], f"{PATH}.{part}") for part in lists}
    before, after = dict(_owned(pod, own_annotations)), dict(_owned(merged, own_annotations))
    for path in (*after, *before):
        if before.get(path) != after.get(path):
            field = INSTEAD.get(path.rpartition(".")[2])
            raise Unmergeable(f"{PATH}.{path} is set by the operator: " + (f"use {field}" if field else "leave it out"))
    return merged


def template_fault(pod: Json, template: Json, own_annotations: Collection[str] = ()) -> Fault | None:
    """Why `template` can't be merged over `pod`; None if it can."""
    try:
        merge_template(pod, template, own_annotations)
    except Unmergeable as error:
        return Fault(INVALID_TEMPLATE, str(error))
    return None


def _owned(pod: Json, own_annotations: Collection[str]) -> Iterator[tuple[str, Any]]:
    """All that is the operator's in a pod template, by its path."""
    metadata, spec = pod["metadata"], pod["spec"]
    for name, value in (metadata.get("labels") or {}).items():
        if name in OWN_LABELS or name.startswith(f"{GROUP}/"):
            yield f"metadata.labels[{name}]", value
    for name, value in (metadata.get("annotations") or {}).items():
        if name.startswith(f"{GROUP}/") or name == DELETION_COST or name in own_annotations:
            yield f"metadata.annotations[{name}]", value
    for name in ("restartPolicy", "terminationGracePeriodSeconds", "serviceAccount"):
        yield f"spec.{name}", spec.get(name)
    worker = _item(spec.get("containers"), "name", CONTAINER)
    at = f"spec.containers[{CONTAINER}]"
    for name in ("image", "imagePullPolicy", "command", "args"):
        yield f"{at}.{name}", worker.get(name)
    for variable in worker.get("env") or ():
        if is_own_variable(variable["name"]):
            yield f"{at}.env[{variable['name']}]", variable
    if _has_variable(worker, "CREWLINE_HANDLER"):
        for probe in PROBES:
            asked = {name: (worker.get(probe) or {}).get(name) for name in PROBED_BY}
            yield f"{at}.{probe}", asked
        # Nothing may make a busy worker unready.
        yield f"{at}.readinessProbe", worker.get("readinessProbe")
    mounted = [(CODE_PATH, CODE_VOLUME)] if _has_variable(worker, "CREWLINE_CODE_PATH") else []
    if any(_has_variable(worker, name) for name in FILE_VARIABLES.values()):
        mounted.append((TLS_PATH, TLS_VOLUME))
    for path, volume in mounted:
        yield f"{at}.volumeMounts[{path}]", _item(worker.get("volumeMounts"), "mountPath", path)
        yield f"spec.volumes[{volume}]", _item(spec.get("volumes"), "name", volume)


def _has_variable(worker: Json, name: str) -> bool:
    return bool(_item(worker.get("env"), "name", name))


def _item(items: Sequence[Json] | None, key: str, value: str) -> Json:
    return next((item for item in items or () if item.get(key) == value), {})
