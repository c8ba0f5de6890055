"""The last change of the number of workers, and why: kept on the Deployment that it changed, in the same apply. Pure.

The status is written after the apply, later or by a successor if that fails; the decision can't be found again then,
since the Deployment has its replicas already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crewline_operator.kube.conditions import MESSAGE_MAX_CHARS
from crewline_operator.model.key import Object
from crewline_operator.model.moments import parse_timestamp, timestamp
from crewline_operator.model.names import GROUP
from crewline_operator.model.note import Note

LAST_DECISION = f"{GROUP}/last-decision"


@dataclass(frozen=True)
class LastDecision:
    """As it is in the status."""

    time: str
    before: int
    to: int
    reason: str

    @property
    def status(self) -> dict[str, Any]:
        return {"time": self.time, "from": self.before, "to": self.to, "reason": self.reason}

    @property
    def annotation(self) -> str:
        return json.dumps(self.status)

    @property
    def note(self) -> Note:
        reason = "ScaledUp" if self.to > self.before else "ScaledDown"
        return Note("Normal", reason, f"{self.before} -> {self.to} workers: {self.reason}")


def decision_on(deployment: Object | None) -> LastDecision | None:
    """The decision that a Deployment was changed by last; None if it does not say."""
    annotations = (deployment or {"metadata": {}})["metadata"].get("annotations") or {}
    try:
        return _read(json.loads(annotations.get(LAST_DECISION, "null")))
    except ValueError:
        return None


def decision_in(status: Mapping[str, Any]) -> LastDecision | None:
    """The decision that a status tells."""
    return _read(status.get("lastDecision"))


def _read(told: object) -> LastDecision | None:
    if not isinstance(told, Mapping):
        return None
    time, before, to, reason = (told.get(name) for name in ("time", "from", "to", "reason"))
    if _is_time(time) and isinstance(before, int) and isinstance(to, int) and isinstance(reason, str):
        # Anybody may write an annotation, and the status takes no text without end.
        return LastDecision(str(time), before, to, reason[:MESSAGE_MAX_CHARS])
    return None


def _is_time(told: object) -> bool:
    try:
        return isinstance(told, str) and timestamp(parse_timestamp(told)) == told
    except ValueError:
        return False
