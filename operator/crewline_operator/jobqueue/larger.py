"""The larger worker: there while jobs wait for one, which died for want of memory in the others. Pure, like the plan.

no pod -> made                where a job waits for one, or will in a moment
it runs                       until it ends by itself: the operator never ends one that may be busy
it has ended -> removed       with exit code 0, or with its pod; where a job waits by then another is made
it can't start -> removed     once the spec would make another one, or no job waits any more
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from crewline_operator.effects.actions import Action, Apply, Remove
from crewline_operator.jobqueue.children.larger_pod import MANIFEST_DIGEST, larger_name, larger_worker
from crewline_operator.jobqueue.children.ownership import Standing, standing
from crewline_operator.jobqueue.children.template import CONTAINER
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.pods import has_ended, pod_fault
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.kube.ended import container_status
from crewline_operator.model.demand import Demand
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.key import Object
from crewline_operator.redis.reading import Snapshot

#: Until a pod of that name is gone which is on its way out.
GOING_SECONDS = 1.0


@dataclass(frozen=True)
class LargerStep:
    """What to do about the larger worker."""

    actions: Sequence[Action] = ()
    fault: Fault | None = None
    check_after_seconds: float | None = None


def wants_larger(jobqueue: JobQueue, observed: Observed) -> bool:
    """Whether there is to be one."""
    snapshot = observed.reading.snapshot
    may = jobqueue.worker.retry_memory is not None and observed.holder is None and not observed.code.missing
    return may and snapshot is not None and snapshot.wants_larger


def larger_step(jobqueue: JobQueue, observed: Observed, manifest: dict[str, Any] | None) -> LargerStep:
    """What to do; `manifest` is the pod to have, None where none may be made."""
    pod = observed.larger
    wanted = manifest is not None and wants_larger(jobqueue, observed)
    if pod is None:
        return _make(observed, manifest) if wanted and manifest is not None else LargerStep()
    match standing(pod, jobqueue):
        case Standing.FOREIGN:
            return LargerStep(fault=_taken(jobqueue)) if wanted else LargerStep()
        case Standing.EARLIER:
            return LargerStep(check_after_seconds=GOING_SECONDS if wanted else None)
    if pod["metadata"].get("deletionTimestamp"):
        return LargerStep(check_after_seconds=GOING_SECONDS if wanted else None)
    fault = pod_fault([pod])
    if _is_over(pod) or (fault is not None and not _runs(pod) and not (wanted and _is_as(pod, manifest))):
        return LargerStep([Remove("Pod", larger_name(jobqueue), pod["metadata"]["uid"])])
    return LargerStep(fault=fault)


def _make(observed: Observed, manifest: dict[str, Any]) -> LargerStep:
    """Has it made; one that was refused is tried again now and then, and holds up nothing else."""
    denied = observed.larger_denied
    if denied is None:
        return LargerStep([Apply(manifest)])
    is_due = observed.clock - denied.at >= FAULT_CHECK_SECONDS
    return LargerStep([Apply(manifest)] if is_due else [], denied.fault, FAULT_CHECK_SECONDS)


def others_demand(jobqueue: JobQueue, snapshot: Snapshot) -> Demand:
    """What the other workers are there for: not the job that a larger one runs."""
    demand, name = snapshot.demand, larger_worker(jobqueue)
    apart = sum(1 for job in snapshot.running if job.worker == name) if jobqueue.worker.retry_memory else 0
    limits, apart = demand.limits, min(apart, demand.active)
    if limits.at_once is not None:
        limits = replace(limits, at_once=max(limits.at_once - apart, 0))
    return replace(demand, active=demand.active - apart, limits=limits)


def larger_status(jobqueue: JobQueue, observed: Observed, snapshot: Snapshot) -> dict[str, Any] | None:
    """What a status tells of it; None for nothing."""
    pod = observed.larger
    ours = pod is not None and standing(pod, jobqueue) is Standing.OURS
    if jobqueue.worker.retry_memory is None or not (snapshot.larger or ours):
        return None
    return {"waiting": snapshot.larger} | ({"pod": larger_name(jobqueue)} if ours else {})


def _taken(jobqueue: JobQueue) -> Fault:
    return Fault(
        "NameTaken",
        f"Pod {larger_name(jobqueue)!r} exists and does not belong to this JobQueue, whose larger worker needs the "
        "name: delete it if nobody needs it, or make the JobQueue under another name",
    )


def _is_over(pod: Object) -> bool:
    """Whether its worker has ended by itself, whatever a sidecar does yet; or the pod as a whole, as by an eviction."""
    ended = (container_status(pod, CONTAINER).get("state") or {}).get("terminated")
    return has_ended(pod) or (ended is not None and ended.get("exitCode") == 0)


def _runs(pod: Object) -> bool:
    return "running" in (container_status(pod, CONTAINER).get("state") or {})


def _is_as(pod: Object, manifest: dict[str, Any] | None) -> bool:
    told = (pod["metadata"].get("annotations") or {}).get(MANIFEST_DIGEST)
    return manifest is not None and told == manifest["metadata"]["annotations"][MANIFEST_DIGEST]
