"""Plans for a Deployment whose workers drain, and what they ask for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from crewline_operator.effects.actions import Drain
from crewline_operator.effects.done import Denied
from crewline_operator.jobqueue.decision import LAST_DECISION, LastDecision
from crewline_operator.jobqueue.going import GOING
from crewline_operator.jobqueue.plan import Plan
from crewline_operator.model.deletion_cost import DELETION_COST, MARK
from crewline_operator.model.fault import Fault
from crewline_operator.model.worker import Worker

from tests.unit.operator.factories import (
    CLOCK,
    deployment,
    jobqueue,
    observed,
    of_template,
    pod,
)
from tests.unit.operator.jobqueue.plans import (
    SETTINGS,
    actions,
    manifest,
    planned,
    reading,
)

REF = jobqueue().queue_ref
MARKED = {"annotations": {DELETION_COST: MARK}}
BUSY, IDLE = Worker(known=True, busy=1, held=1), Worker(known=True, held=25)
DRAINING = Worker("t", known=True, follows=True, busy=1, held=1)


def scaled(wanted: int, replicas: int, **parts: Any) -> Plan:
    """A plan for so many workers of those that the Deployment asks for; they are looked at unless it is said."""
    worker, guarded = parts.pop("worker", {"handler": "handlers:handle"}), parts.pop("guarded", False)
    pods = parts.pop("pods", [pod(number) for number in range(1, replicas + 1)])
    seen = {"deployment": deployment(replicas), "reading": reading(active=2), "looked": True, "pods": pods} | parts
    external = {"mode": "External", "minReplicas": 0, "maxReplicas": 10}
    told = replace(SETTINGS, scale_in_guard=guarded)
    return planned(observed(**seen), settings=told, scaling=external, replicas=wanted, worker=worker)


def lowered(before: int, to: int, *going: int, **parts: Any) -> dict[str, Any]:
    """The Deployment after replicas was lowered by these pods, which its ReplicaSet has not killed yet."""
    decision = LastDecision("2026-03-01T12:00:00Z", before, to, "why").annotation
    names = {GOING: " ".join(f"pod-{number}" for number in going)} if going else {}
    built = deployment(to, generation=2, annotations={LAST_DECISION: decision} | names)
    built["status"] |= {"observedGeneration": 2, "replicas": before, "updatedReplicas": before} | parts
    return built


def replicas(result: Plan) -> int:
    found: int = manifest(result, "Deployment")["spec"]["replicas"]
    return found


def asked(result: Plan) -> list[str]:
    return [uid for action in actions(result, Drain) for uid in action.workers]


FOREIGN = {"command": ["node", "w.js"], "image": "w"}


def rolling(number: int, **parts: Any) -> dict[str, Any]:
    """A Deployment in the middle of a rollout, with the pod that a rollout has beside those it replaces."""
    built = of_template(deployment(number, **parts), "r2")
    built["status"] |= {"replicas": number + 1, "updatedReplicas": 1}
    return built


DENIED = Denied(Fault("RedisFull", "workers can't be asked to drain: Redis is full"), CLOCK - 1)
