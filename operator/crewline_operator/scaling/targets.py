"""How many workers a demand needs by spec.scaling.target, before any window or bound. Pure.

A target that counts (jobsPerReplica) is exact. Those that measure are not: what they want once the workers are there is
a little more than what they ask for, so that a number on the edge between two does not go up and down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from crewline_operator.model.demand import Demand
from crewline_operator.scaling.rates import Rates
from crewline_operator.scaling.spec import JobsPerReplica, LatencyObjective, ScalingSpec, Utilization

#: Arrivals are measured over no longer time, whatever the objective.
LONGEST_SECONDS = 3600.0
#: However near to the objective the oldest job is, what waits is given this part of it.
LEAST_LEFT = 0.25
#: Workers that are there are kept up to so much more than what was measured asks for; as in an HPA.
TOLERANCE = 0.1


@dataclass(frozen=True)
class Wish:
    """What a demand wants."""

    #: Replicas to scale up to.
    needed: int
    #: Replicas not to go below, if they are there.
    kept: int
    #: How `needed` came about.
    why: str


def wish_for(spec: ScalingSpec, demand: Demand, rates: Rates) -> Wish:
    """What `demand` wants; any job wants one worker at least."""
    match spec.target:
        case JobsPerReplica(jobs):
            needed = math.ceil(demand.total / jobs)
            return Wish(needed, needed, f"{_counts(demand)}: {_jobs(demand.total)} / {jobs} per replica")
        case LatencyObjective(seconds):
            return _by_latency(spec, demand, rates, seconds)
        case Utilization(percent):
            return _by_utilization(spec, demand, rates, percent)


def measures(spec: ScalingSpec) -> bool:
    """Whether the target needs rates."""
    return not isinstance(spec.target, JobsPerReplica)


def longest_window(spec: ScalingSpec) -> float:
    """How far back rates have to tell, in seconds."""
    if isinstance(spec.target, LatencyObjective):
        return max(spec.behavior.panic_seconds, min(float(spec.target.seconds), LONGEST_SECONDS))
    return spec.behavior.stable_seconds


def _by_latency(spec: ScalingSpec, demand: Demand, rates: Rates, objective_seconds: int) -> Wish:
    """Little's law: arrivals x service time is how many slots they keep busy. On top of that come those that work off
    what waits, in the time that is left until the oldest of it has waited for the objective.

    Arrivals are measured over the objective: what comes at once may be spread over as much.
    """
    service = rates.service_seconds
    if service is None:
        return _wish(spec, demand, 0.0, f"{_counts(demand)}: no job has run yet that tells how long one takes")
    arrivals = rates.arrivals(longest_window(spec))
    left = max(objective_seconds - demand.oldest_seconds, objective_seconds * LEAST_LEFT)
    slots = min(arrivals * service + demand.queued * service / left, demand.total)
    told = f"{_number(arrivals)} jobs/s x {_number(service)} s"
    if demand.queued:
        told += f" + {demand.queued} x {_number(service)} s / {_number(left)} s"
    why = f"{_counts(demand)}: {told} = {_number(slots)} slots / {spec.concurrency} per replica"
    return _wish(spec, demand, slots / spec.concurrency, why)


def _by_utilization(spec: ScalingSpec, demand: Demand, rates: Rates, percent: int) -> Wish:
    """Slots that are busy, or that would be if there were enough: where all are, only arrivals x service time tells.

    Busy ones are averaged over the long window: short jobs are seen by few of the reads. Arrivals are exact.
    """
    behavior = spec.behavior
    arrivals, service = rates.arrivals(behavior.panic_seconds), rates.service_seconds or 0.0
    busy, offered = rates.busy(behavior.stable_seconds), min(arrivals * service, demand.total)
    if demand.queued:
        # Those that have just come free or been made are not in the average yet.
        busy = max(busy, demand.active)
    told = f"{_number(busy)} slots busy"
    if offered > busy:
        told = f"{_number(arrivals)} jobs/s x {_number(service)} s = {_number(offered)} slots"
    replicas = max(busy, offered) / (spec.concurrency * percent / 100)
    return _wish(spec, demand, replicas, f"{_counts(demand)}: {told} / {percent} % of {spec.concurrency} per replica")


def _wish(spec: ScalingSpec, demand: Demand, replicas: float, why: str) -> Wish:
    # Without a job there is nothing to scale up for, however many there have just been.
    needed = max(1, _rounded_up(replicas)) if demand.total else 0
    return Wish(needed, max(needed, _rounded_up(replicas * (1 + TOLERANCE))), why)


def _rounded_up(replicas: float) -> int:
    # 3 x 0.1 / 0.3 is no more than 1.
    return math.ceil(replicas - 1e-9)


def _counts(demand: Demand) -> str:
    parts = [] if demand.paused else [f"waiting {demand.waiting}"]
    parts += [f"due {demand.due}"] if demand.due and not demand.paused else []
    parts.append(f"active {demand.active}")
    parts += [f"held back by limits {demand.held}"] if demand.held else []
    return ("paused, " if demand.paused else "") + ", ".join(parts)


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


def _number(value: float) -> str:
    """Short, and no exponent where it can be helped."""
    return f"{value:.0f}" if value >= 99.5 else f"{value:.2g}"
