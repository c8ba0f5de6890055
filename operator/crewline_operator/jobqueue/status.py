"""The status of a JobQueue: what a person reads first when something is wrong. Pure, like the plan it is a part of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crewline_operator.jobqueue.children.labels import selector_text
from crewline_operator.jobqueue.conditions import conditions_for, summary_of, workers_of
from crewline_operator.jobqueue.decision import LastDecision, decision_in, decision_on
from crewline_operator.jobqueue.larger import larger_status
from crewline_operator.jobqueue.live import settings_status
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.kube.conditions import MESSAGE_MAX_CHARS, Condition, merge_conditions
from crewline_operator.model.fault import Fault
from crewline_operator.model.moments import timestamp_ms
from crewline_operator.redis.reading import Running, Snapshot

#: Fields that move all the time and are therefore written at intervals only.
NUMBERS = ("counts", "oldestWaitingSince", "running", "retryWith")
#: A URL in a Secret is bounded by nothing.
SHOWN_MAX_CHARS = 1024


@dataclass(frozen=True)
class Outcome:
    """What the plan came to."""

    desired: int
    #: The change of replicas that this plan makes, if it makes one.
    decided: LastDecision | None
    faults: list[Fault]
    #: Whether the queue is paused.
    pause: Condition
    #: Why a scale-in is not done yet, '' if none waits.
    waits: str = ""


def build_status(jobqueue: JobQueue, outcome: Outcome, observed: Observed) -> dict[str, Any]:
    """The whole status to have; what is not in it is to be removed."""
    earlier = observed.status
    workers = workers_of(observed.deployment, outcome.desired)
    conditions = conditions_for(jobqueue, observed, workers, outcome.faults, outcome.pause, outcome.waits)
    status: dict[str, Any] = {
        "observedGeneration": jobqueue.generation,
        "summary": summary_of(conditions, workers.desired),
        "queue": jobqueue.queue,
        "replicas": workers.replicas,
        "readyReplicas": workers.ready,
        "desiredReplicas": workers.desired,
        "ready": f"{workers.ready}/{workers.desired}",
        "selector": selector_text(jobqueue),
    }
    if not isinstance(observed.endpoint, Fault):
        status["redis"] = observed.endpoint.shown[:SHOWN_MAX_CHARS]
    snapshot = observed.reading.snapshot
    if observed.move is None and snapshot is not None and snapshot.owner == observed.me:
        # Not before: a Redis that was never reached is left without asking.
        status["served"] = {"queue": jobqueue.queue, "redis": jobqueue.told_redis}
    elif "served" in earlier:
        status["served"] = earlier["served"]
    if snapshot is not None:
        status |= _numbers(snapshot)
        if (larger := larger_status(jobqueue, observed, snapshot)) is not None:
            status["retryWith"] = larger
    else:
        # The last numbers that were read are better than none; RedisReachable says that they are old.
        status |= {name: earlier[name] for name in NUMBERS if name in earlier}
    settings = settings_status(jobqueue, observed)
    if settings is not None:
        status["settings"] = settings
    decision = outcome.decided or decision_on(observed.deployment) or decision_in(earlier)
    if decision is not None:
        status["lastDecision"] = decision.status
    if outcome.faults:
        status["faults"] = [
            {"reason": fault.reason, "message": fault.message[:MESSAGE_MAX_CHARS]} for fault in outcome.faults
        ]
    status["conditions"] = merge_conditions(earlier, conditions, jobqueue.generation, observed.now)
    return status


def told_faults(status: Mapping[str, Any]) -> list[Fault]:
    """The faults that a status tells, what hides the others first."""
    told = status.get("faults")
    return [
        Fault(str(fault.get("reason")), str(fault.get("message")))
        for fault in (told if isinstance(told, list) else ())
        if isinstance(fault, Mapping)
    ]


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
