"""Specs, demands and queues that are decided on again and again, for the tests of scaling."""

from __future__ import annotations

from typing import Any

from crewline_operator.model.demand import Demand
from crewline_operator.scaling.decide import Decision, History, decide
from crewline_operator.scaling.spec import JobsPerReplica, ScalingSpec

T = 1000.0


def spec(**fields: Any) -> ScalingSpec:
    defaults: dict[str, Any] = {
        "mode": "Operator",
        "min_replicas": 0,
        "max_replicas": 10,
        "target": JobsPerReplica(10),
        "concurrency": 10,
        "idle_seconds": 60,
        "replicas": None,
    }
    return ScalingSpec(**(defaults | fields))


def jobs(waiting: int = 0, due: int = 0, active: int = 0, **fields: Any) -> Demand:
    return Demand(waiting, due, active, **({"delayed": due} | fields))


class Queue:
    """A queue that is decided on again and again."""

    def __init__(self, current: int, **fields: Any) -> None:
        self.spec = spec(**fields)
        self.replicas = current
        self.history = History()

    def at(self, time: float, demand: Demand | None) -> Decision:
        decision = decide(self.spec, demand, self.replicas, self.history, T + time)
        self.replicas, self.history = decision.replicas, decision.history
        return decision
