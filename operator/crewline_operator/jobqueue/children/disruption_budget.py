"""The workers' PodDisruptionBudget, where the spec asks for one: it counts evictions, and no scale-in or rollout.

It never holds up the drain of a node for good. One worker at least may always be evicted, and one that is has its grace
period; those that are not ready count for nothing.
"""

from __future__ import annotations

from typing import Any

from crewline_operator.effects.actions import Remove
from crewline_operator.jobqueue.children.labels import metadata_of, selector_of
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.names import LARGER_LABEL

KIND = "PodDisruptionBudget"


def build_disruption_budget(jobqueue: JobQueue) -> dict[str, Any]:
    """The manifest to apply, for a JobQueue that asks for one."""
    return {
        "apiVersion": "policy/v1",
        "kind": KIND,
        "metadata": metadata_of(jobqueue),
        "spec": {
            "maxUnavailable": jobqueue.worker.disruption.max_unavailable,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector_of(jobqueue)} | _apart(jobqueue),
        },
    }


def _apart(jobqueue: JobQueue) -> dict[str, Any]:
    """No larger worker: its owner is the JobQueue, whose replicas would be counted beside the Deployment's."""
    if jobqueue.worker.retry_memory is None:
        return {}
    return {"matchExpressions": [{"key": LARGER_LABEL, "operator": "DoesNotExist"}]}


def spare_disruption_budget(jobqueue: JobQueue, observed: Observed) -> list[Remove]:
    """Remove the one that we made once none is asked for any more."""
    budget = observed.disruption_budget
    if budget is None or jobqueue.worker.disruption.max_unavailable is not None:
        return []
    return [Remove(KIND, jobqueue.name, budget["metadata"]["uid"])]
