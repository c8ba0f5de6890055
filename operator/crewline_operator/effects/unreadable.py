"""What to do for an object that can't be read, whatever its kind."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from crewline_operator.effects.actions import Action, WriteStatus
from crewline_operator.kube.conditions import Condition, find_condition, with_conditions
from crewline_operator.kube.status import merge_patch
from crewline_operator.model.key import Object, status_of
from crewline_operator.model.note import Note


def say_unreadable(obj: Object, conditions: Sequence[Condition], now: datetime, **more: Any) -> list[Action]:
    """Says in its status what can't be read, once in an Event, and leaves all that is there as it is.

    Args:
        conditions: why, as the object's kind tells it; all have the same reason.
        more: further fields of its status.
    """
    status = status_of(obj)
    generation = obj["metadata"].get("generation", 1)
    merged = with_conditions(status, conditions, generation, now)
    patch = merge_patch(status, {**status, "observedGeneration": generation, **more, "conditions": merged})
    told = conditions[0]
    known = find_condition(status, told.type).get("reason") == told.reason
    return [
        *([WriteStatus(patch, may_be_refused=True)] if patch else []),
        *([] if known else [Note("Warning", told.reason, told.message)]),
    ]
