"""The Events of a JobQueue: one for each decision, one when something goes wrong, one when all is well again. Pure."""

from __future__ import annotations

from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.jobqueue.status import Outcome
from crewline_operator.kube.conditions import find_condition
from crewline_operator.model.note import Note


def notes_of(jobqueue: JobQueue, observed: Observed, outcome: Outcome) -> list[Note]:
    """What is to be said of a plan that came to `outcome`."""
    notes: list[Note] = []
    if outcome.creating:
        notes.append(Note("Normal", "Created", f"created Deployment and ServiceAccount {jobqueue.name}"))
    if outcome.decision_from is not None or (outcome.creating and outcome.desired):
        before = outcome.decision_from or 0
        reason = "ScaledUp" if outcome.desired > before else "ScaledDown"
        notes.append(Note("Normal", reason, f"{before} -> {outcome.desired} workers: {outcome.decision.reason}"))
    return notes + _fault_notes(observed, outcome)


def _fault_notes(observed: Observed, outcome: Outcome) -> list[Note]:
    """An Event when the first fault is another than in the status, and one when all is well again."""
    degraded = find_condition(observed.status, "Degraded")
    known = degraded.get("status") == "True"
    if outcome.faults:
        fault = outcome.faults[0]
        return (
            [] if known and degraded.get("reason") == fault.reason else [Note("Warning", fault.reason, fault.message)]
        )
    if not known:
        return []
    reason = "RedisRecovered" if str(degraded.get("reason")).startswith("Redis") else "Recovered"
    return [Note("Normal", reason, f"mended: {degraded.get('reason')}")]
