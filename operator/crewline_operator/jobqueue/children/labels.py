"""Names, labels and owner of everything a JobQueue owns."""

from __future__ import annotations

from typing import Any

from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.names import API_VERSION, JOBQUEUE_LABEL, LARGER_LABEL


def labels_of(jobqueue: JobQueue) -> dict[str, str]:
    """Labels of a child, Kubernetes' recommended ones among them."""
    return {
        "app.kubernetes.io/name": "crewline-worker",
        "app.kubernetes.io/instance": jobqueue.name,
        "app.kubernetes.io/component": "worker",
        "app.kubernetes.io/part-of": "crewline",
    } | ownership_labels(jobqueue)


def ownership_labels(jobqueue: JobQueue) -> dict[str, str]:
    """What a child is known by that has lost its owner."""
    return {"app.kubernetes.io/managed-by": "crewline", JOBQUEUE_LABEL: jobqueue.name}


def selector_of(jobqueue: JobQueue) -> dict[str, str]:
    """Labels the workers' pods are found by. They must never change: a Deployment's selector is immutable."""
    return {JOBQUEUE_LABEL: jobqueue.name}


def selector_text(jobqueue: JobQueue) -> str:
    """The selector as /scale gives it to autoscalers: the replicas, and no larger worker."""
    apart = [] if jobqueue.worker.retry_memory is None else [f"!{LARGER_LABEL}"]
    return ",".join([*(f"{key}={value}" for key, value in selector_of(jobqueue).items()), *apart])


def metadata_of(jobqueue: JobQueue) -> dict[str, Any]:
    """A child's metadata: named after its JobQueue, and garbage-collected with it."""
    return {
        "name": jobqueue.name,
        "namespace": jobqueue.namespace,
        "labels": labels_of(jobqueue),
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": "JobQueue",
                "name": jobqueue.name,
                "uid": jobqueue.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }
