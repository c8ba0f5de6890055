"""The workers' Deployment: the restricted pod security standard, and only what a worker needs.

Everything the operator sets is in the manifest on every apply, replicas included: it is their only writer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from crewline_operator.jobqueue.children.access import redis_env, tls_mounts, tls_volumes
from crewline_operator.jobqueue.children.labels import labels_of, metadata_of, selector_of
from crewline_operator.jobqueue.children.template import (
    CODE_PATH,
    CODE_VOLUME,
    CONTAINER,
    merge_template,
    template_fault,
)
from crewline_operator.jobqueue.children.template_digest import TEMPLATE_DIGEST, template_digest
from crewline_operator.jobqueue.decision import LAST_DECISION, LastDecision
from crewline_operator.jobqueue.going import going_annotation
from crewline_operator.jobqueue.has_queue import HAS_QUEUE, OPERATOR
from crewline_operator.jobqueue.spec import DEAD_LETTER, JobQueue, WorkerSpec
from crewline_operator.model.do_not_disrupt import DO_NOT_DISRUPT
from crewline_operator.model.fault import Fault
from crewline_operator.model.names import GROUP

#: Where a worker answers the kubelet.
HEALTH_PORT = 10808
#: The user of the worker image; any other image must bear running as it, too.
USER_ID = 10001
#: For workers to be ready.
PROGRESS_DEADLINE_SECONDS = 600
#: A rollout waits so long for the workers that a new one is there for to drain, and to be marked if they have nothing.
DRAIN_SECONDS = 5
#: Seconds a worker has after its grace period, before the kubelet kills it: SIGTERM comes up to 2 s late, to hand back
#: its jobs takes 4 s at most, to end its process 3 s.
HAND_BACK_SECONDS = 10

CODE_DIGEST = f"{GROUP}/code-digest"
SECRET_DIGEST = f"{GROUP}/redis-secret-digest"


@dataclass(frozen=True)
class DeploymentInputs:
    """What the Deployment depends on beside its JobQueue."""

    replicas: int
    image: str
    image_pull_policy: str
    #: A change of either rolls the pods: both are read once, when a worker starts.
    code_digest: str | None = None
    secret_digest: str | None = None
    #: Why there are this many replicas.
    decision: LastDecision | None = None
    #: Which queue the JobQueue has, if it has it.
    has_queue: str | None = None
    #: By which pods their number was lowered, by uid.
    going: frozenset[str] = frozenset()
    #: The Lease of the operator that applies it.
    operator: str = ""


def build_deployment(jobqueue: JobQueue, inputs: DeploymentInputs) -> dict[str, Any]:
    """The manifest to apply. Raises Unmergeable for a template that has a fault."""
    told = {} if inputs.decision is None else {LAST_DECISION: inputs.decision.annotation}
    told |= {} if inputs.has_queue is None else {HAS_QUEUE: inputs.has_queue}
    told |= {OPERATOR: inputs.operator} if inputs.operator else {}
    told |= going_annotation(inputs.going)
    template = build_pod_template(jobqueue, inputs)
    template["metadata"]["annotations"] |= {TEMPLATE_DIGEST: template_digest(template)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata_of(jobqueue) | ({"annotations": told} if told else {}),
        "spec": {
            "replicas": inputs.replicas,
            "revisionHistoryLimit": 2,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            "selector": {"matchLabels": selector_of(jobqueue)},
            # A worker goes when another is there in its place, and has drained by then.
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": "25%"}},
            "minReadySeconds": DRAIN_SECONDS,
            "template": template,
        },
    }


def build_pod_template(jobqueue: JobQueue, inputs: DeploymentInputs) -> dict[str, Any]:
    """Of a worker's pod. Raises Unmergeable for a template that has a fault."""
    return merge_template(_pod_template(jobqueue, inputs), jobqueue.worker.template, _own_annotations(jobqueue))


def find_template_fault(jobqueue: JobQueue) -> Fault | None:
    """What is wrong with spec.worker.template, if anything."""
    template = jobqueue.worker.template
    pod = _pod_template(jobqueue, DeploymentInputs(0, "", ""))
    return template_fault(pod, template, _own_annotations(jobqueue)) if template else None


def _own_annotations(jobqueue: JobQueue) -> Collection[str]:
    """Those of a pod that are written while it runs, if they are."""
    return tuple(DO_NOT_DISRUPT) if jobqueue.worker.disruption.shields_busy else ()


def _pod_template(jobqueue: JobQueue, inputs: DeploymentInputs) -> dict[str, Any]:
    return {
        "metadata": {"labels": labels_of(jobqueue), "annotations": _annotations(inputs)},
        "spec": _pod(jobqueue, inputs),
    }


def _annotations(inputs: DeploymentInputs) -> dict[str, str]:
    digests = {CODE_DIGEST: inputs.code_digest, SECRET_DIGEST: inputs.secret_digest}
    return {"kubectl.kubernetes.io/default-container": CONTAINER} | {
        name: digest for name, digest in digests.items() if digest is not None
    }


def _pod(jobqueue: JobQueue, inputs: DeploymentInputs) -> dict[str, Any]:
    volumes: list[dict[str, Any]] = [{"name": "tmp", "emptyDir": {}}]
    if jobqueue.worker.code_config_map:
        volumes.append({"name": CODE_VOLUME, "configMap": {"name": jobqueue.worker.code_config_map}})
    volumes += tls_volumes(jobqueue.redis)
    return {
        "serviceAccountName": jobqueue.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": jobqueue.worker.grace_seconds + HAND_BACK_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(jobqueue, inputs)],
        "volumes": volumes,
    }


def _container(jobqueue: JobQueue, inputs: DeploymentInputs) -> dict[str, Any]:
    worker = jobqueue.worker
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": inputs.image,
        "imagePullPolicy": inputs.image_pull_policy,
        "env": _env(jobqueue),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    if worker.command:
        container["command"] = list(worker.command)
    if worker.args:
        container["args"] = list(worker.args)
    if worker.env_from:
        container["envFrom"] = [dict(source) for source in worker.env_from]
    if worker.resources:
        container["resources"] = dict(worker.resources)
    if worker.code_config_map:
        container["volumeMounts"].append({"name": CODE_VOLUME, "mountPath": CODE_PATH, "readOnly": True})
    container["volumeMounts"] += tls_mounts(jobqueue.redis)
    if worker.handler:
        container |= _probes()
    return container


def _probes() -> dict[str, Any]:
    """By HTTP, so that an image needs no shell and the kubelet makes no process; none that can make a worker unready.

    Of workers that are to go those that are not ready go first, however busy they are.
    """
    return {
        # The worker answers once Redis has answered it, and is asked when it can be there: a start leaves no Event.
        # After some 20 minutes without an answer it is started anew.
        "startupProbe": {
            "httpGet": {"path": "/ready", "port": HEALTH_PORT},
            "initialDelaySeconds": 1,
            "periodSeconds": 1,
            "timeoutSeconds": 10,
            "failureThreshold": 120,
        },
        "livenessProbe": {
            "httpGet": {"path": "/alive", "port": HEALTH_PORT},
            "periodSeconds": 20,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
    }


def _env(jobqueue: JobQueue) -> list[dict[str, Any]]:
    worker = jobqueue.worker
    values: dict[str, Any] = {
        "CREWLINE_QUEUE": jobqueue.queue,
        "CREWLINE_PREFIX": jobqueue.prefix,
        "CREWLINE_HANDLER": worker.handler,
        # A handler's worker has these from the queue's settings before its first fetch, and follows them: in here they
        # would roll the pods. Another program may know no settings.
        "CREWLINE_CONCURRENCY": None if worker.handler else worker.concurrency,
        "CREWLINE_TIMEOUT_SECONDS": None if worker.handler else worker.timeout_seconds,
        "CREWLINE_EXECUTION": worker.execution,
        "CREWLINE_GRACE_SECONDS": worker.grace_seconds,
        "CREWLINE_MAX_CRASHES": worker.max_crashes,
        "CREWLINE_ON_OOM": _on_oom(worker),
        "CREWLINE_DEAD_LETTER_QUEUE": jobqueue.dead_letter_queue,
        "CREWLINE_CODE_PATH": CODE_PATH if worker.code_config_map else None,
        "CREWLINE_HEALTH_PORT": HEALTH_PORT if worker.handler else None,
    }
    # By what the operator asks a worker to drain, and knows whose answer is whose.
    uid = {"name": "CREWLINE_WORKER_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    env: list[dict[str, Any]] = [*redis_env(jobqueue.redis), uid]
    env += [{"name": name, "value": str(value)} for name, value in values.items() if value is not None]
    return env + [dict(variable) for variable in worker.env]


def _on_oom(worker: WorkerSpec) -> str:
    """As the engine calls it."""
    if worker.retry_memory is not None:
        return "larger"
    return "fail" if worker.on_oom == DEAD_LETTER else "retry"
