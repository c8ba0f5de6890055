"""A JobQueue's scale-in: what its pods and workers look like to `scaling.drain`, and the actions that a step comes to.

Pure, like the plan that it is a part of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from crewline_operator.effects.actions import Action, Drain, Mark, Undrain, Unmark
from crewline_operator.jobqueue.children.template_digest import is_outdated
from crewline_operator.jobqueue.decision import decision_on
from crewline_operator.jobqueue.going import going_on
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.pods import is_leaving, is_ready, is_refused, rollout_of
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.deletion_cost import is_marked
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.key import Object
from crewline_operator.scaling.drain import next_step
from crewline_operator.scaling.fleet import Fleet, Pod, ReplicaSet
from crewline_operator.scaling.step import Step

#: Seconds between two looks at workers that drain: where an answer is on its way, and where a job has to end first.
SOON_SECONDS, LOOK_SECONDS = 0.25, 1.0


def drain_step(jobqueue: JobQueue, observed: Observed, wanted: int, *, guarded: bool = False) -> Step:
    """What to do now for there to be so many workers, where a guard may keep ReplicaSets from unmarked pods."""
    # It keeps none from those of other programs, which can't be asked.
    has_handler = jobqueue.worker.handler is not None
    fleet = replace(_fleet_of(observed), foreign=not has_handler, telling=observed.telling)
    return next_step(wanted, replace(fleet, guarded=guarded and has_handler))


def actions_of(jobqueue: JobQueue, step: Step) -> list[Action]:
    """What a step comes to, but for the number of replicas, which is applied after."""
    actions: list[Action] = [Unmark(pod.name, pod.uid) for pod in step.unmark]
    if step.undrain:
        actions.append(Undrain(jobqueue.queue_ref, tuple(step.undrain)))
    actions += [Mark(pod.name, pod.uid) for pod in step.mark]
    if step.drain:
        # The last before replicas is lowered: these requests have to hold until then.
        actions.append(Drain(jobqueue.queue_ref, tuple(step.drain), step.holding))
    return actions


def drain_fault(observed: Observed, step: Step) -> Fault | None:
    """Why Redis lets nobody be asked, or none be let go, as long as somebody is to be."""
    denied = observed.drain_denied
    if denied is None or observed.reading.fault is not None or not (step.refused or step.drain or step.undrain):
        return None
    return denied.fault


def telling(observed: Observed) -> frozenset[str]:
    """The pods whose workers tell of themselves, or have once: they go on to be Crewline's."""
    known = {uid for uid, worker in (observed.workers or {}).items() if worker.known}
    return (observed.telling | known) & {pod["metadata"]["uid"] for pod in observed.pods}


def looks_in(observed: Observed, step: Step) -> float | None:
    """In how many seconds the workers are to be looked at again, None if they need not."""
    if step.refused:
        return FAULT_CHECK_SECONDS
    if not (step.looks or (observed.looked and observed.workers is None)):
        return None
    if observed.workers is None and observed.reading.fault is not None:
        # That Redis can be read again is told as soon as it is.
        return FAULT_CHECK_SECONDS
    return SOON_SECONDS if step.soon else LOOK_SECONDS


def has_wrong_pod_gone(observed: Observed) -> bool:
    """Whether a ReplicaSet has killed another pod than those by which replicas was lowered last."""
    fleet = _fleet_of(observed)
    decision = decision_on(observed.deployment)
    if decision is None or decision.to >= decision.before or not fleet.released:
        return False
    gone = fleet.going - {pod.uid for pod in fleet.pods}
    return len(gone) < decision.before - decision.to


def _fleet_of(observed: Observed) -> Fleet:
    deployment = observed.deployment or {}
    told: Mapping[str, Any] = deployment.get("status", {})
    has = told.get("replicas", 0)
    snapshot, denied = observed.reading.snapshot, observed.drain_denied
    # Without a Deployment nobody kills them.
    live = [pod for pod in observed.pods if not is_leaving(pod)] if deployment else []
    return Fleet(
        replicas=observed.current_replicas,
        has=has,
        rolled_out=told.get("updatedReplicas", 0) == has,
        pods=[_pod(pod, deployment) for pod in live],
        workers=observed.workers,
        seen=told.get("observedGeneration", 0) >= deployment.get("metadata", {}).get("generation", 0),
        going=going_on(observed.deployment),
        leaving=[pod["metadata"]["uid"] for pod in observed.pods if pod["metadata"].get("deletionTimestamp")],
        short=is_refused(observed.deployment),
        idle=snapshot.active == 0 if snapshot is not None else None,
        sets={str(rollout_of(each)): _replica_set(each) for each in observed.replica_sets},
        refused=denied is not None and observed.clock - denied.at < FAULT_CHECK_SECONDS,
    )


def _replica_set(found: Object) -> ReplicaSet:
    return ReplicaSet(found["spec"].get("replicas", 1), str(found["metadata"].get("creationTimestamp")))


def _pod(pod: Object, deployment: Object) -> Pod:
    metadata = pod["metadata"]
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        rollout=str(rollout_of(pod)),
        ready=is_ready(pod),
        created=str(metadata.get("creationTimestamp")),
        marked=is_marked(pod),
        outdated=is_outdated(pod, deployment),
    )
