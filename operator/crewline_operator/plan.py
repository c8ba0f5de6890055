"""From what a JobQueue asks for and what was observed to what is to be done: a pure function.

The reconciler observes, calls `plan`, and carries out what it says; nothing here reads a clock or talks to anyone.

Rules that hold whatever was observed: a fault never deletes or stops workers that run; workers are made only
when everything they need is there; a demand that could not be read scales nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crewline_operator.children.deployment import CODE_DIGEST, DeploymentInputs, build_deployment
from crewline_operator.children.service_account import build_service_account
from crewline_operator.conditions import find_condition
from crewline_operator.jobqueue import JobQueue
from crewline_operator.jobqueue_status import ALSO, Outcome, build_status
from crewline_operator.pause import pause_state
from crewline_operator.pods import POD_REASONS, deployment_fault, pod_fault, ready_pods
from crewline_operator.poller import Reading
from crewline_operator.redis_endpoint import Endpoint, Fault
from crewline_operator.scaling import Decision, History, decide
from crewline_operator.settings import Settings
from crewline_operator.store import Object

#: Faults that only the user can mend are looked at again this often; most are seen through a watch before.
FAULT_CHECK_SECONDS = 5.0


@dataclass(frozen=True)
class Code:
    """The ConfigMap with the handler's source: a digest of its data, or that it is missing."""

    digest: str | None = None
    missing: bool = False


@dataclass(frozen=True)
class Observed:
    """All that a plan is made from, besides the JobQueue itself."""

    now: datetime
    endpoint: Endpoint | Fault
    status: Mapping[str, Any] = field(default_factory=dict)
    deployment: Object | None = None
    pods: Sequence[Object] = ()
    reading: Reading = field(default_factory=Reading)
    code: Code = field(default_factory=Code)
    #: The older JobQueue on the same Redis queue, as namespace/name.
    older_twin: str | None = None
    #: What else has a child's name, such as "Deployment emails".
    taken_name: str | None = None
    #: What the API server said to the manifests that were just applied, if it does not take them.
    refusal: Fault | None = None
    history: History = field(default_factory=History)

    @property
    def first_read_pending(self) -> bool:
        """Whether Redis is known but was neither read nor found faulty yet."""
        return isinstance(self.endpoint, Endpoint) and self.reading == Reading()


@dataclass(frozen=True)
class Note:
    """A Kubernetes Event to leave on the object."""

    type: str
    reason: str
    message: str


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
    current = _current_replicas(observed.deployment)
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


def find_faults(jobqueue: JobQueue, observed: Observed) -> list[Fault]:
    """All that is wrong, what hides the others first."""
    faults: list[Fault] = []
    if observed.older_twin is not None:
        faults.append(
            Fault(
                "DuplicateQueue",
                f"JobQueue {observed.older_twin} has the same queue {jobqueue.queue!r} in the same Redis and is older: "
                "give one of them another spec.queue, or delete one",
            )
        )
    if observed.taken_name is not None:
        faults.append(
            Fault(
                "NameTaken",
                f"{observed.taken_name} exists and does not belong to this JobQueue: rename or delete one of them",
            )
        )
    if observed.refusal is not None:
        faults.append(observed.refusal)
    if isinstance(observed.endpoint, Fault):
        faults.append(observed.endpoint)
    elif observed.reading.fault is not None:
        faults.append(observed.reading.fault)
    if observed.code.missing:
        faults.append(
            Fault(
                "MissingConfigMap",
                f"spec.worker.code: there is no ConfigMap {jobqueue.worker.code_config_map!r} in namespace "
                f"{jobqueue.namespace!r}: create it with the handler's source, or name another",
            )
        )
    faults += [fault for fault in (_worker_fault(observed), deployment_fault(observed.deployment)) if fault]
    return faults


def _worker_fault(observed: Observed) -> Fault | None:
    """What keeps the workers from running. Told until they are ready: pods that start anew have mended nothing yet."""
    fault = pod_fault(observed.pods)
    degraded = find_condition(observed.status, "Degraded")
    starting = ready_pods(observed.pods) < _current_replicas(observed.deployment)
    if fault is None and starting and degraded.get("status") == "True" and degraded.get("reason") in POD_REASONS:
        return Fault(str(degraded["reason"]), str(degraded.get("message", "")).partition(ALSO)[0])
    return fault


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


def _current_replicas(deployment: Object | None) -> int:
    if deployment is None:
        return 0
    replicas: int = deployment["spec"].get("replicas", 1)
    return replicas


def _applied_code(deployment: Object | None) -> str | None:
    if deployment is None:
        return None
    annotations = deployment["spec"]["template"].get("metadata", {}).get("annotations") or {}
    digest: str | None = annotations.get(CODE_DIGEST)
    return digest
