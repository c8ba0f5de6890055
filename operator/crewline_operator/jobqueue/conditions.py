"""The conditions of a JobQueue, and the one word that sums them up. Pure.

Ready is for whoever waits for a spec to be in effect (kubectl wait, kstatus, Argo CD, Flux): asleep at zero and woken
from it, in a rollout and while the number of workers changes it stays True; it is False with the fault's reason where
the spec is not in effect, or no worker of it runs. What merely moves is told by Progressing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crewline_operator.jobqueue.has_queue import has_queue
from crewline_operator.jobqueue.live import ready_workers
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.pods import WORKER_REASONS, ready_pods
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.kube.conditions import Condition, find_condition
from crewline_operator.model.fault import QUEUE_FAULTS, Fault
from crewline_operator.model.key import Object
from crewline_operator.scaling.spec import EXTERNAL

ROLLING_OUT = "RollingOut"


@dataclass(frozen=True)
class Workers:
    """How many workers there are, and how many are wanted."""

    desired: int
    replicas: int
    ready: int
    rolling_out: bool


def workers_of(deployment: Object | None, desired: int) -> Workers:
    """What a Deployment tells of its workers."""
    if deployment is None:
        return Workers(desired, 0, 0, False)
    status = deployment.get("status", {})
    replicas = status.get("replicas", 0)
    outdated = status.get("updatedReplicas", 0) < replicas
    unseen = status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0)
    return Workers(desired, replicas, ready_workers(deployment), outdated or unseen)


def conditions_for(
    jobqueue: JobQueue, observed: Observed, workers: Workers, faults: Sequence[Fault], pause: Condition, waits: str
) -> list[Condition]:
    """All of them, in their order. `waits` is why a scale-in is not done yet, '' if none waits."""
    progressing = _progressing(workers, faults, waits)
    conditions = [
        _ready(workers, faults, observed),
        progressing,
        _degraded(faults),
        _redis_reachable(observed),
        _scaling_active(jobqueue, faults, observed),
        pause,
    ]
    if progressing.status and progressing.reason == ROLLING_OUT:
        # By this one kstatus waits for a rollout to end; it is there only while it is True.
        conditions.append(Condition("Reconciling", True, ROLLING_OUT, progressing.message))
    return conditions


def summary_of(conditions: Sequence[Condition], desired: int) -> str:
    """What a JobQueue does, in a word: the first thing that `kubectl get` shows."""
    by_type = {each.type: each for each in conditions}
    progressing = by_type["Progressing"]
    if by_type["Degraded"].status:
        return f"Degraded: {by_type['Degraded'].reason}"
    if by_type["Paused"].status:
        return "Paused"
    if progressing.status:
        return ROLLING_OUT if progressing.reason == ROLLING_OUT else "Scaling"
    return "Ready" if desired else "Asleep"


def _ready(workers: Workers, faults: Sequence[Fault], observed: Observed) -> Condition:
    # A worker's own trouble concerns that worker: the others of its rollout may do well.
    runs = ready_pods(observed.pods) > 0 or not workers.desired
    stops = next((fault for fault in faults if fault.reason not in WORKER_REASONS or not runs), None)
    if stops is not None:
        return Condition("Ready", False, stops.reason, stops.message)
    if workers.desired == 0:
        return Condition("Ready", True, "ScaledToZero", "no job needs a worker; the first one starts one")
    if workers.ready >= workers.desired:
        return Condition("Ready", True, "WorkersReady", "all workers are ready")
    if workers.ready:
        return Condition("Ready", True, "SomeWorkersReady", "some workers are ready")
    # One that was ready before is woken, or its workers are replaced: only a fault is a reason to be alarmed.
    was = find_condition(observed.status, "Ready").get("status") == "True"
    return Condition("Ready", was, "WorkersStarting", "no worker is ready yet")


def _progressing(workers: Workers, faults: Sequence[Fault], waits: str) -> Condition:
    if waits or (workers.replicas > workers.desired and not workers.rolling_out):
        return Condition("Progressing", True, "ScalingDown", waits or "workers that have no job end")
    stuck = next((fault for fault in faults if fault.reason in WORKER_REASONS), None)
    if stuck is not None and (workers.ready < workers.desired or workers.rolling_out):
        return Condition("Progressing", False, stuck.reason, stuck.message)
    if workers.rolling_out:
        return Condition("Progressing", True, ROLLING_OUT, "workers are replaced by those of the newest spec")
    if workers.ready < workers.desired:
        return Condition("Progressing", True, "ScalingUp", "workers are starting")
    return Condition("Progressing", False, "Stable", "there are as many workers as wanted")


def _degraded(faults: Sequence[Fault]) -> Condition:
    if not faults:
        return Condition("Degraded", False, "AsExpected", "nothing is wrong")
    first, *others = faults
    message = "; also: ".join([first.message, *(f"{fault.reason}: {fault.message}" for fault in others)])
    return Condition("Degraded", True, first.reason, message)


def _redis_reachable(observed: Observed) -> Condition:
    if isinstance(observed.endpoint, Fault):
        return Condition("RedisReachable", False, observed.endpoint.reason, observed.endpoint.message)
    fault = observed.reading.fault
    if fault is not None and fault.reason not in QUEUE_FAULTS:
        return Condition("RedisReachable", False, fault.reason, fault.message)
    return Condition("RedisReachable", True, "Connected", f"Redis {observed.endpoint.shown} answers")


def _scaling_active(jobqueue: JobQueue, faults: Sequence[Fault], observed: Observed) -> Condition:
    if observed.holder is not None or observed.taken_name is not None:
        return Condition("ScalingActive", False, faults[0].reason, faults[0].message)
    if jobqueue.scaling.hold:
        return Condition(
            "ScalingActive", False, "Held", "spec.scaling.hold is true: nothing changes the number of workers"
        )
    unread = observed.reading.snapshot is None
    fault = observed.endpoint if isinstance(observed.endpoint, Fault) else observed.reading.fault
    reason = fault.reason if fault is not None else "RedisUnreachable"
    if unread and not has_queue(jobqueue, observed):
        message = "the queue can't be read, and may be another JobQueue's: workers stay as they are"
        return Condition("ScalingActive", False, reason, message)
    if jobqueue.scaling.mode == EXTERNAL:
        return Condition("ScalingActive", True, "External", "spec.replicas decides the number of workers")
    if unread:
        fallback = ", but for spec.scaling.fallback" if jobqueue.scaling.fallback is not None else ""
        message = f"the demand can't be read: workers stay as they are{fallback}"
        return Condition("ScalingActive", False, reason, message)
    ignored = "; spec.replicas is ignored in mode Operator" if jobqueue.scaling.replicas is not None else ""
    return Condition("ScalingActive", True, "Operator", f"the demand decides the number of workers{ignored}")
