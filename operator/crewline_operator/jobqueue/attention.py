"""How closely a queue is looked at, by what is planned for it. Pure."""

from __future__ import annotations

from crewline_operator.jobqueue.observed import Observed
from crewline_operator.model.attention import Attention


def attention_for(observed: Observed, replicas: int) -> Attention:
    """The attention for a queue that is to have `replicas` workers."""
    snapshot = observed.reading.snapshot
    if snapshot is None or observed.holder is not None:
        # It is only seen by looking that it can be read again, or that the one that has it has gone.
        return Attention.STEADY
    if not replicas and not observed.current_replicas:
        # No event tells that a limit was lifted.
        return Attention.STEADY if snapshot.demand.held else Attention.ASLEEP
    status = (observed.deployment or {}).get("status", {})
    moving = observed.current_replicas != replicas or any(
        status.get(name, 0) != replicas for name in ("replicas", "readyReplicas")
    )
    return Attention.CLOSE if moving and snapshot.demand.total else Attention.STEADY
