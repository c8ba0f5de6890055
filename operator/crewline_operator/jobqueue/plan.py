"""From what a JobQueue asks for and what was observed to what is to be done: a pure function.

The reconciler observes, calls `plan`, and carries out what it says; nothing here reads a clock or talks to anyone.

Rules that hold whatever was observed: a fault never deletes or stops workers that run; workers are made only
when everything they need is there; a demand that could not be read scales nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crewline_operator.jobqueue.children.deployment import CODE_DIGEST, DeploymentInputs, build_deployment
from crewline_operator.jobqueue.children.service_account import build_service_account
from crewline_operator.jobqueue.faults import find_faults
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.pause import pause_state
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.jobqueue.status import Outcome, build_status
from crewline_operator.kube.conditions import find_condition
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.key import Object
from crewline_operator.model.note import Note
from crewline_operator.model.settings import Settings
from crewline_operator.scaling.decide import Decision, History, decide


@dataclass(frozen=True)
class Plan:
    """What to do, in this order: apply the manifests, write the status, pause or resume, leave the notes."""

    manifests: list[dict[str, Any]]
    status: dict[str, Any]
    notes: list[Note]
    #: True pauses the queue in Redis, False resumes it, None leaves it.
    pause: bool | None
    history: History
    check_after_seconds: float | None


def plan(jobqueue: JobQueue, observed: Observed, settings: Settings) -> Plan:
    """What to do for a JobQueue now."""
    faults = find_faults(jobqueue, observed)
    current = observed.current_replicas
    decision = _decision(jobqueue, observed, current)
    manifests = _manifests(jobqueue, observed, decision, settings)
    replicas = decision.replicas if manifests else current
    pause = pause_state(jobqueue, observed.status, observed.reading.snapshot)
    outcome = Outcome(
        desired=replicas,
        decision_from=current if manifests and observed.deployment is not None and replicas != current else None,
        decision=decision,
        faults=faults,
        pause=pause,
        creating=bool(manifests) and observed.deployment is None,
    )
    status = build_status(jobqueue, outcome, observed)
    checks = [decision.check_after_seconds, FAULT_CHECK_SECONDS if faults else None]
    return Plan(
        manifests=manifests,
        status=status,
        notes=_notes(jobqueue, observed, outcome),
        # The queue is the older JobQueue's to pause.
        pause=pause.action if observed.older_twin is None else None,
        history=decision.history,
        check_after_seconds=min((seconds for seconds in checks if seconds is not None), default=None),
    )


def _decision(jobqueue: JobQueue, observed: Observed, current: int) -> Decision:
    if observed.older_twin is not None:
        return Decision(0, f"JobQueue {observed.older_twin} runs this queue -> 0 replicas", None, observed.history)
    snapshot = observed.reading.snapshot
    demand = snapshot.demand if snapshot is not None else None
    return decide(jobqueue.scaling, demand, current, observed.history, observed.now.timestamp())


def _manifests(jobqueue: JobQueue, observed: Observed, decision: Decision, settings: Settings) -> list[dict[str, Any]]:
    if observed.taken_name is not None or observed.refusal is not None or isinstance(observed.endpoint, Fault):
        return []
    if observed.deployment is None and (observed.older_twin is not None or observed.code.missing):
        return []
    inputs = DeploymentInputs(
        replicas=decision.replicas,
        image=jobqueue.worker.image or settings.worker_image,
        image_pull_policy=jobqueue.worker.image_pull_policy or settings.worker_image_pull_policy,
        # While the ConfigMap is missing the workers that run keep their code: no rollout into nothing.
        code_digest=_applied_code(observed.deployment) if observed.code.missing else observed.code.digest,
        secret_digest=observed.endpoint.secret_digest,
    )
    return [build_service_account(jobqueue), build_deployment(jobqueue, inputs)]


def _notes(jobqueue: JobQueue, observed: Observed, outcome: Outcome) -> list[Note]:
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


def _applied_code(deployment: Object | None) -> str | None:
    if deployment is None:
        return None
    annotations = deployment["spec"]["template"].get("metadata", {}).get("annotations") or {}
    digest: str | None = annotations.get(CODE_DIGEST)
    return digest
