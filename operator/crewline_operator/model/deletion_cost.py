"""The mark of a pod that is to go before others: Kubernetes' own, which a ReplicaSet goes by."""

from __future__ import annotations

from crewline_operator.model.key import Object

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
#: Lower than what anybody would give a pod that is only a little cheaper than others.
MARK = "-1000"


def is_marked(pod: Object) -> bool:
    return (pod["metadata"].get("annotations") or {}).get(DELETION_COST) == MARK
