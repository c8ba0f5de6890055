"""The conditions of a ScheduledJob. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from crewline_operator.kube.conditions import Condition, find_condition, merge_conditions
from crewline_operator.model.fault import Fault
from crewline_operator.scheduledjob.spec import ScheduledJob

NEVER_RUNS = Fault("NeverRuns", "spec.schedule names no day that comes in 50 years")


def build_conditions(
    scheduled: ScheduledJob, status: Mapping[str, Any], fault: Fault | None, now: datetime
) -> list[dict[str, Any]]:
    """The conditions to write, given those in `status`."""
    wanted = [_ready(scheduled, fault)]
    if fault is None or fault == NEVER_RUNS:
        return merge_conditions(status, [*wanted, _suspended(scheduled)], scheduled.generation, now)
    # Suspending takes effect with the plan that takes the placed run back, so a fault leaves it as it was.
    kept = find_condition(status, "Suspended")
    return merge_conditions(status, wanted, scheduled.generation, now) + ([dict(kept)] if kept else [])


def _ready(scheduled: ScheduledJob, fault: Fault | None) -> Condition:
    if fault is not None:
        return Condition("Ready", False, fault.reason, fault.message)
    if scheduled.suspend:
        # It is as its spec wants it: nobody has to wait for anything.
        return Condition("Ready", True, "Suspended", "spec.suspend is true: set it to false to go on")
    return Condition("Ready", True, "Scheduled", "the next run is on its way")


def _suspended(scheduled: ScheduledJob) -> Condition:
    if scheduled.suspend:
        return Condition("Suspended", True, "Suspended", "spec.suspend is true: no runs")
    return Condition("Suspended", False, "NotSuspended", "spec.suspend is false")
