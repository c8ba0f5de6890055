"""Status conditions as Kubernetes' API conventions want them.

`lastTransitionTime` moves only when a condition's status changes, so that "since when" can be read off it; a change of
reason or message alone leaves it. The order is fixed, so that an unchanged list compares equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

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


def timestamp(moment: datetime) -> str:
    """A moment as Kubernetes writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def timestamp_ms(epoch_ms: int) -> str | None:
    """Epoch milliseconds as Kubernetes writes a moment; None if no calendar holds it."""
    try:
        return timestamp(datetime.fromtimestamp(epoch_ms / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def parse_timestamp(text: str) -> datetime:
    """The moment that Kubernetes wrote."""
    return datetime.fromisoformat(text)
