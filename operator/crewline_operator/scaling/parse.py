"""Reads spec.scaling, with the CRD's defaults, for what was stored under a schema without them. Pure."""

from __future__ import annotations

from crewline_operator.model.fields import Fields
from crewline_operator.scaling.spec import (
    MODES,
    Behavior,
    Fallback,
    JobsPerReplica,
    LatencyObjective,
    ScalingSpec,
    Target,
    Utilization,
)


def parse_scaling(spec: Fields, concurrency: int) -> ScalingSpec:
    """What a JobQueue's spec says of scaling; `concurrency` is its workers'. Raises Unreadable."""
    scaling = spec.inner("scaling")
    return ScalingSpec(
        mode=scaling.choice("mode", MODES),
        min_replicas=scaling.optional_integer("minReplicas") or 0,
        max_replicas=scaling.integer("maxReplicas", low=1) if "maxReplicas" in scaling else 10,
        target=_target(scaling.inner("target"), concurrency),
        concurrency=concurrency,
        idle_seconds=scaling.integer("idleSeconds") if "idleSeconds" in scaling else 60,
        replicas=spec.optional_integer("replicas"),
        behavior=_behavior(scaling.inner("behavior")),
        fallback=_fallback(scaling.required("fallback")) if "fallback" in scaling else None,
        hold=scaling.flag("hold"),
    )


def _target(target: Fields, concurrency: int) -> Target:
    if "latencyObjectiveSeconds" in target:
        return LatencyObjective(target.integer("latencyObjectiveSeconds", low=1))
    if "utilizationPercent" in target:
        return Utilization(target.integer("utilizationPercent", low=1))
    return JobsPerReplica(target.integer("jobsPerReplica", low=1) if "jobsPerReplica" in target else concurrency)


def _behavior(behavior: Fields) -> Behavior:
    default = Behavior()

    def seconds(name: str, otherwise: float) -> float:
        return behavior.integer(name, low=1) if name in behavior else otherwise

    return Behavior(
        stable_seconds=seconds("stableWindowSeconds", default.stable_seconds),
        panic_seconds=seconds("panicWindowSeconds", default.panic_seconds),
    )


def _fallback(fallback: Fields) -> Fallback:
    after = fallback.integer("afterSeconds", low=1) if "afterSeconds" in fallback else 120
    return Fallback(after, fallback.integer("replicas"))
