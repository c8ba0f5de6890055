"""Status conditions as Kubernetes' API conventions want them.

`lastTransitionTime` moves only when a condition's status changes, so that "since when" can be read off it; a change of
reason or message alone leaves it. The order is fixed, so that an unchanged list compares equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crewline_operator.model.moments import timestamp

MESSAGE_MAX_CHARS = 1024


@dataclass(frozen=True)
class Condition:
    """A condition as the operator wants it. `status` None means Unknown."""

    type: str
    status: bool | None
    reason: str
    message: str


def merge_conditions(
    earlier: Sequence[Mapping[str, Any]], wanted: Sequence[Condition], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions to write, given those in the status now. Conditions nobody wants any more are dropped."""
    known = {condition.get("type"): condition for condition in earlier}
    merged = []
    for condition in wanted:
        before = known.get(condition.type)
        status = {True: "True", False: "False", None: "Unknown"}[condition.status]
        since = before["lastTransitionTime"] if before and before.get("status") == status else timestamp(now)
        merged.append(
            {
                "type": condition.type,
                "status": status,
                "reason": condition.reason,
                "message": condition.message[:MESSAGE_MAX_CHARS],
                "lastTransitionTime": since,
                "observedGeneration": generation,
            }
        )
    return merged


def find_condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """A condition of a status; {} if it has none of that type."""
    return next((each for each in status.get("conditions") or () if each.get("type") == type_), {})
