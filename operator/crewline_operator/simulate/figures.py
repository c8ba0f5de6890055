"""The numbers of a simulated load, as one reads them in a terminal. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from crewline_operator.scaling.spec import LatencyObjective, ScalingSpec
from crewline_operator.simulate.outcome import Outcome


@dataclass(frozen=True)
class Waits:
    """How long jobs waited, in seconds."""

    p50: float
    p95: float
    max: float

    @classmethod
    def of(cls, waits: Sequence[float]) -> Waits:
        ordered = sorted(waits)
        return cls(*(_percentile(ordered, part) for part in (0.5, 0.95, 1.0)))


def table(spec: ScalingSpec, outcome: Outcome) -> str:
    """Two columns: what, and how much."""
    waits = [run.waited for run in outcome.runs]
    told = Waits.of(waits)
    rows = [
        ("jobs", f"{len(waits) + outcome.left:,}"),
        ("time", duration(outcome.ended)),
        ("wait p50", duration(told.p50)),
        ("wait p95", duration(told.p95)),
        ("wait max", duration(told.max)),
    ]
    if isinstance(spec.target, LatencyObjective):
        late = sum(waited > spec.target.seconds for waited in waits)
        share = 100 * late / max(1, len(waits))
        rows.append((f"waited longer than {spec.target.seconds} s", f"{late:,} ({share:.1f} %)"))
    if outcome.left:
        rows.append(("never taken", f"{outcome.left:,}"))
    slots = outcome.replica_seconds * spec.concurrency
    rows += [
        ("replica-seconds", f"{outcome.replica_seconds:,.0f}"),
        ("replicas on average", f"{outcome.replica_seconds / outcome.ended:.2f}" if outcome.ended else "0"),
        ("replicas at most", str(max((look.wanted for look in outcome.looks), default=0))),
        ("slots busy", f"{100 * outcome.busy_seconds / slots:.0f} %" if slots else "0 %"),
        ("scalings", _scalings(outcome)),
    ]
    width = max(len(what) for what, _ in rows)
    return "\n".join(f"{what:<{width}}  {number:>12}" for what, number in rows)


def duration(seconds: float) -> str:
    """A time as a person says it."""
    if seconds < 0.0005:
        return "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"


def _scalings(outcome: Outcome) -> str:
    ups = sum(scaled.to > scaled.before for scaled in outcome.scalings)
    return f"{ups} up, {len(outcome.scalings) - ups} down"


def _percentile(ordered: Sequence[float], part: float) -> float:
    """The smallest that `part` of all do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * part) - 1)] if ordered else 0.0
