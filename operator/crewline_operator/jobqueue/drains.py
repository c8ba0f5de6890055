"""A JobQueue's scale-in: what its pods and workers look like to `scaling.drain`, and the actions that a step comes to.

Pure, like the plan that it is a part of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crewline_operator.effects.actions import Action, Drain, Mark, Undrain, Unmark
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.pods import is_ready, is_refused, rollout_of
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.deletion_cost import is_marked
from crewline_operator.model.fault import FAULT_CHECK_SECONDS
from crewline_operator.model.key import Object
from crewline_operator.scaling.drain import Fleet, Pod, Step, next_step

#: Seconds between two looks at workers that drain: where an answer is on its way, and where a job has to end first.
SOON_SECONDS, LOOK_SECONDS = 0.25, 1.0


def drain_step(jobqueue: JobQueue, observed: Observed, wanted: int) -> Step:
    """What to do now for there to be so many workers."""
    return next_step(wanted, _fleet(jobqueue, observed))


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


def looks_in(observed: Observed, step: Step) -> float | None:
    """In how many seconds the workers are to be looked at again, None if they need not."""
    if not (step.looks or (observed.looked and observed.workers is None)):
        return None
    if observed.workers is None and observed.reading.fault is not None:
        # That Redis can be read again is told as soon as it is.
        return FAULT_CHECK_SECONDS
    return SOON_SECONDS if step.soon else LOOK_SECONDS


def has_wrong_pod_gone(observed: Observed, step: Step) -> bool:
    """Whether replicas was lowered by some pods, and one of them lives although as many have gone."""
    live = {pod["metadata"]["uid"] for pod in observed.pods if not _is_leaving(pod)}
    return len(live) <= step.replicas <= observed.current_replicas and not live.isdisjoint(observed.going)


def _fleet(jobqueue: JobQueue, observed: Observed) -> Fleet:
    deployment = observed.deployment or {}
    told: Mapping[str, Any] = deployment.get("status", {})
    has = told.get("replicas", 0)
    seen = told.get("observedGeneration", 0) >= deployment.get("metadata", {}).get("generation", 0)
    snapshot = observed.reading.snapshot
    live = [pod for pod in observed.pods if not _is_leaving(pod)]
    return Fleet(
        replicas=observed.current_replicas,
        # What it has is not known before it has taken in what was asked last.
        has=has if seen else max(has, observed.current_replicas + 1),
        rolled_out=told.get("updatedReplicas", 0) == has,
        pods=[_pod(pod) for pod in live],
        workers=observed.workers,
        leaving=[pod["metadata"]["uid"] for pod in observed.pods if pod["metadata"].get("deletionTimestamp")],
        short=is_refused(observed.deployment),
        idle=snapshot.active == 0 if snapshot is not None else None,
        foreign=jobqueue.worker.handler is None,
    )


def _pod(pod: Object) -> Pod:
    metadata = pod["metadata"]
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        rollout=str(rollout_of(pod)),
        ready=is_ready(pod),
        created=str(metadata.get("creationTimestamp")),
        marked=is_marked(pod),
    )


def _is_leaving(pod: Object) -> bool:
    """Whether a ReplicaSet counts a pod no more."""
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return ended or bool(pod["metadata"].get("deletionTimestamp"))
