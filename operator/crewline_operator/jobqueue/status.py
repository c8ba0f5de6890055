"""The status of a JobQueue: what a person reads first when something is wrong. Pure, like the plan it is a part of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crewline_operator.jobqueue.children.labels import selector_text
from crewline_operator.jobqueue.decision import LastDecision, decision_in, decision_on
from crewline_operator.jobqueue.has_queue import has_queue
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.kube.conditions import MESSAGE_MAX_CHARS, Condition, merge_conditions
from crewline_operator.model.fault import QUEUE_FAULTS, Fault
from crewline_operator.model.key import Object
from crewline_operator.model.moments import timestamp_ms
from crewline_operator.redis.reading import Running, Snapshot
from crewline_operator.scaling.spec import EXTERNAL

#: Fields that move all the time and are therefore written at intervals only.
NUMBERS = ("counts", "oldestWaitingSince", "running")


@dataclass(frozen=True)
class Outcome:
    """What the plan came to."""

    desired: int
    #: The change of replicas that this plan makes, if it makes one.
    decided: LastDecision | None
    faults: list[Fault]
    #: Whether the queue is paused.
    pause: Condition
    creating: bool
    #: Why a scale-in is not done yet, '' if none waits.
    waits: str = ""


@dataclass(frozen=True)
class _Workers:
    desired: int
    replicas: int
    ready: int
    rolling_out: bool


def build_status(jobqueue: JobQueue, outcome: Outcome, observed: Observed) -> dict[str, Any]:
    """The whole status to have; what is not in it is to be removed."""
    earlier = observed.status
    workers = _workers(observed.deployment, outcome.desired)
    status: dict[str, Any] = {
        "observedGeneration": jobqueue.generation,
        "queue": jobqueue.queue,
        "replicas": workers.replicas,
        "readyReplicas": workers.ready,
        "desiredReplicas": workers.desired,
        "ready": f"{workers.ready}/{workers.desired}",
        "selector": selector_text(jobqueue),
    }
    if not isinstance(observed.endpoint, Fault):
        status["redis"] = observed.endpoint.shown
    snapshot = observed.reading.snapshot
    if snapshot is not None:
        status |= _numbers(snapshot)
    else:
        # The last numbers that were read are better than none; RedisReachable says that they are old.
        status |= {name: earlier[name] for name in NUMBERS if name in earlier}
    decision = outcome.decided or decision_on(observed.deployment) or decision_in(earlier)
    if decision is not None:
        status["lastDecision"] = decision.status
    if outcome.faults:
        status["faults"] = [
            {"reason": fault.reason, "message": fault.message[:MESSAGE_MAX_CHARS]} for fault in outcome.faults
        ]
    wanted = [
        _available(workers, outcome, observed),
        _progressing(workers, outcome),
        _degraded(outcome.faults),
        _redis_reachable(observed),
        _scaling_active(jobqueue, outcome, observed),
        outcome.pause,
    ]
    status["conditions"] = merge_conditions(earlier, wanted, jobqueue.generation, observed.now)
    return status


def told_faults(status: Mapping[str, Any]) -> list[Fault]:
    """The faults that a status tells, what hides the others first."""
    told = status.get("faults")
    return [
        Fault(str(fault.get("reason")), str(fault.get("message")))
        for fault in (told if isinstance(told, list) else ())
        if isinstance(fault, Mapping)
    ]


def _workers(deployment: Object | None, desired: int) -> _Workers:
    if deployment is None:
        return _Workers(desired, 0, 0, False)
    status = deployment.get("status", {})
    replicas = status.get("replicas", 0)
    outdated = status.get("updatedReplicas", 0) < replicas
    unseen = status.get("observedGeneration", 0) < deployment["metadata"].get("generation", 0)
    return _Workers(desired, replicas, status.get("readyReplicas", 0), outdated or unseen)


def _numbers(snapshot: Snapshot) -> dict[str, Any]:
    numbers: dict[str, Any] = {
        "counts": {
            "waiting": snapshot.waiting,
            "active": snapshot.active,
            "delayed": snapshot.delayed,
            "completed": snapshot.completed,
            "failed": snapshot.failed,
            "dead": snapshot.dead,
        }
    }
    oldest = snapshot.oldest_waiting_ms
    since = timestamp_ms(oldest) if oldest is not None else None
    if since is not None:
        numbers["oldestWaitingSince"] = since
    if snapshot.running:
        numbers["running"] = [_running(job) for job in snapshot.running]
    return numbers


def _running(job: Running) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": job.id, "name": job.name}
    if job.worker:
        shown["worker"] = job.worker
    started = timestamp_ms(job.started_ms) if job.started_ms is not None else None
    if started is not None:
        shown["startedAt"] = started
    if job.progress is not None:
        shown["progress"] = job.progress
    return shown


def _available(workers: _Workers, outcome: Outcome, observed: Observed) -> Condition:
    stops_all = outcome.faults[0] if outcome.faults else None
    if stops_all is not None and (
        observed.holder is not None
        or observed.taken_name is not None
        or observed.refusal is not None
        or isinstance(observed.endpoint, Fault)
        or observed.reading.fault is not None
        or (observed.deployment is None and not outcome.creating)
    ):
        return Condition("Available", False, stops_all.reason, stops_all.message)
    if workers.desired == 0:
        return Condition("Available", True, "ScaledToZero", "no job needs a worker; the first one starts one")
    if workers.ready >= workers.desired:
        return Condition("Available", True, "WorkersReady", "all workers are ready")
    if workers.ready:
        return Condition("Available", True, "SomeWorkersReady", "some workers are ready")
    if stops_all is not None:
        return Condition("Available", False, stops_all.reason, stops_all.message)
    return Condition("Available", False, "WorkersStarting", "no worker is ready yet")


def _progressing(workers: _Workers, outcome: Outcome) -> Condition:
    if outcome.waits or (workers.replicas > workers.desired and not workers.rolling_out):
        return Condition("Progressing", True, "ScalingDown", outcome.waits or "workers that have no job end")
    if workers.ready < workers.desired:
        return Condition("Progressing", True, "ScalingUp", "workers are starting")
    if workers.rolling_out:
        return Condition("Progressing", True, "RollingOut", "workers are replaced by those of the newest spec")
    return Condition("Progressing", False, "Stable", "there are as many workers as wanted")


def _degraded(faults: list[Fault]) -> Condition:
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


def _scaling_active(jobqueue: JobQueue, outcome: Outcome, observed: Observed) -> Condition:
    if observed.holder is not None or observed.taken_name is not None:
        return Condition("ScalingActive", False, outcome.faults[0].reason, outcome.faults[0].message)
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
