"""The Events of a JobQueue: one for each decision, one when something goes wrong, one when all is well again. Pure."""

from __future__ import annotations

from crewline_operator.jobqueue.decision import decision_in, decision_on
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.jobqueue.status import Outcome
from crewline_operator.kube.conditions import find_condition
from crewline_operator.model.note import Note


def made_notes(jobqueue: JobQueue) -> list[Note]:
    """What is to be said once the children are made."""
    what = "Deployment" if jobqueue.worker.service_account else "Deployment and ServiceAccount"
    return [Note("Normal", "Created", f"created {what} {jobqueue.name}")]


def wrong_pod_note() -> Note:
    """What is to be said when a ReplicaSet has killed another pod than the one that was marked."""
    return Note("Warning", "WrongPodKilled", "a scale-in took another pod than the idle one that was marked for it")


def notes_of(observed: Observed, outcome: Outcome) -> list[Note]:
    """What is to be said of a plan that came to `outcome`, once its status is written."""
    earlier = decision_on(observed.deployment)
    told = decision_in(observed.status)
    # One that was made but not told of yet: the write of the status failed, or had to wait.
    notes = [each.note for each in (earlier, outcome.decided) if each is not None and each != told]
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
