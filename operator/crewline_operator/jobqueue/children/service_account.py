"""The workers' own service account: an identity for policies, without a token, since workers never call Kubernetes.

A template that names another one needs none of ours.
"""

from __future__ import annotations

from typing import Any

from crewline_operator.effects.actions import Remove
from crewline_operator.jobqueue.children.labels import metadata_of
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.spec import JobQueue


def build_service_account(jobqueue: JobQueue) -> dict[str, Any]:
    """The manifest to apply."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata_of(jobqueue),
        "automountServiceAccountToken": False,
    }


def spare_service_account(jobqueue: JobQueue, observed: Observed) -> list[Remove]:
    """Remove one that we made once no worker runs as it any more."""
    account, deployment, named = observed.service_account, observed.deployment, jobqueue.worker.service_account
    if account is None or deployment is None or named in (None, jobqueue.name):
        return []
    status = deployment.get("status", {})
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    rolled_out = seen and status.get("updatedReplicas", 0) == status.get("replicas", 0)
    runs_as = deployment["spec"]["template"]["spec"].get("serviceAccountName")
    return (
        [Remove("ServiceAccount", jobqueue.name, account["metadata"]["uid"])] if rolled_out and runs_as == named else []
    )
