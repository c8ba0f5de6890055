"""The workers' own service account: an identity for policies, without a token, since workers never call Kubernetes."""

from __future__ import annotations

from typing import Any

from crewline_operator.jobqueue.children.labels import metadata_of
from crewline_operator.jobqueue.spec import JobQueue


def build_service_account(jobqueue: JobQueue) -> dict[str, Any]:
    """The manifest to apply."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata_of(jobqueue),
        "automountServiceAccountToken": False,
    }
