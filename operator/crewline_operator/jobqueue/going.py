"""By which pods replicas was lowered last: kept on the Deployment that was lowered, in the same apply. Pure.

Marks and requests to drain are there before, and also where nothing is lowered after all. That these pods are about to
be killed is told by nothing else, and an operator that begins anew has to know it.
"""

from __future__ import annotations

from collections.abc import Collection

from crewline_operator.model.key import Object
from crewline_operator.model.names import GROUP

#: Their uids.
GOING = f"{GROUP}/going"


def going_on(deployment: Object | None) -> frozenset[str]:
    """What a Deployment says."""
    annotations = (deployment or {"metadata": {}})["metadata"].get("annotations") or {}
    return frozenset(str(annotations.get(GOING, "")).split())


def going_annotation(uids: Collection[str]) -> dict[str, str]:
    """What to have it say."""
    return {GOING: " ".join(sorted(uids))} if uids else {}
