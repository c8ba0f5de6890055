"""spec.worker.disruption: what others than the operator may do to the workers' pods."""

from __future__ import annotations

from dataclasses import dataclass

from crewline_operator.model.fields import Fields

ALLOW, DO_NOT_DISRUPT = "Allow", "DoNotDisrupt"


@dataclass(frozen=True)
class Disruption:
    """As it is asked for."""

    #: So many pods, or such a share of them, may be evicted at a time; None: nobody counts.
    max_unavailable: int | str | None = None
    #: Whether pods whose workers run jobs say so to those who consolidate nodes.
    shields_busy: bool = False


def parse_disruption(disruption: Fields) -> Disruption:
    """Raises Unreadable."""
    budget = disruption.required("budget") if "budget" in disruption else None
    return Disruption(
        max_unavailable=budget.count_or_share("maxUnavailable") if budget is not None else None,
        shields_busy=disruption.choice("whileBusy", (ALLOW, DO_NOT_DISRUPT)) == DO_NOT_DISRUPT,
    )
