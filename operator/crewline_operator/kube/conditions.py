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


def conditions_of(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The conditions of a status, but for what is none: what is stored may be of another schema."""
    found = status.get("conditions")
    return [
        each
        for each in (found if isinstance(found, list) else ())
        if isinstance(each, Mapping) and isinstance(each.get("type"), str)
    ]


def merge_conditions(
    earlier: Mapping[str, Any], wanted: Sequence[Condition], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions to write, given the status as it is now. Conditions nobody wants any more are dropped."""
    known = {condition["type"]: condition for condition in conditions_of(earlier)}
    merged = []
    for condition in wanted:
        before = known.get(condition.type)
        status = {True: "True", False: "False", None: "Unknown"}[condition.status]
        stays = before is not None and before.get("status") == status
        since = before.get("lastTransitionTime") if before is not None and stays else None
        merged.append(
            {
                "type": condition.type,
                "status": status,
                "reason": condition.reason,
                "message": condition.message[:MESSAGE_MAX_CHARS],
                "lastTransitionTime": since if isinstance(since, str) else timestamp(now),
                "observedGeneration": generation,
            }
        )
    return merged


def find_condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """A condition of a status; {} if it has none of that type."""
    return next((each for each in conditions_of(status) if each["type"] == type_), {})


def with_conditions(
    status: Mapping[str, Any], wanted: Sequence[Condition], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """The conditions of a status with some of them, or some more, as they are wanted, and the others as they are."""
    types = {each.type for each in wanted}
    others = [dict(each) for each in conditions_of(status) if each["type"] not in types]
    return [*merge_conditions(status, wanted, generation, now), *others]
