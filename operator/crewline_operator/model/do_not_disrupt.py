"""What a pod tells those who consolidate nodes: to leave it where it is. Cluster Autoscaler and Karpenter go by it."""

from __future__ import annotations

from crewline_operator.model.key import Object
from crewline_operator.model.names import GROUP

#: That the pod has the others from the operator, who takes them off, and not from somebody else.
WHILE_BUSY = f"{GROUP}/while-busy"
#: By the names of those who read them.
DO_NOT_DISRUPT = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def shield_annotations(is_busy: bool) -> dict[str, str | None]:
    """What a pod is to have; None: it is not to be there."""
    wanted = {WHILE_BUSY: "true"} | DO_NOT_DISRUPT
    return {name: value if is_busy else None for name, value in wanted.items()}


def is_shielded(pod: Object) -> bool:
    return WHILE_BUSY in (pod["metadata"].get("annotations") or {})
