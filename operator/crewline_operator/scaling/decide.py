"""How many workers a queue should have: a pure function of its demand, its recent demand and the clock.

Up at once, down only to the highest number that was wanted in the last STABLE_SECONDS, so that a queue whose jobs come
in bursts does not flap. To minReplicas only when there was no job at all for idleSeconds, which the queue's own counter
and events tell: a short job is seen by no look at what is there now. A number that could not
be read never scales anything: without a demand the workers stay as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from crewline_operator.model.demand import Demand
from crewline_operator.scaling.spec import ScalingSpec

#: Scaling down looks back this far.
STABLE_SECONDS = 15.0


@dataclass(frozen=True)
class History:
    """What a decision needs to know of the earlier ones. Lost with the process, which only delays scaling down."""

    #: (time, replicas wanted) of the last STABLE_SECONDS.
    wanted: tuple[tuple[float, int], ...] = ()
    #: Since when there has been no job, and none has come and gone unseen; None while there is one.
    idle_since: float | None = None
    #: What had happened then.
    mark: str | None = None


@dataclass(frozen=True)
class Decision:
    """How many workers there should be, and why."""

    replicas: int
    reason: str
    #: Seconds until the passing of time alone may change the decision.
    check_after_seconds: float | None = None
    history: History = field(default_factory=History)


def decide(spec: ScalingSpec, demand: Demand | None, current: int, history: History, now: float) -> Decision:
    """The number of workers for `demand`; None means that it could not be read. `now` is monotonic, in seconds."""
    if spec.mode == "external":
        return _external(spec, current, history)
    if demand is None:
        held = _clamp(spec, current)
        reason = "the demand can't be read: workers stay as they are"
        if held != current:
            bound = "minReplicas" if held > current else "maxReplicas"
            reason = f"{bound} is {held}, and the demand is not known yet -> {_replicas(held)}"
        return Decision(held, reason, None, history)
    jobs = demand.total
    wanted = _clamp(spec, math.ceil(jobs / spec.jobs_per_replica))
    # A process that has just started knows no earlier wish: it takes what it finds for one.
    earlier = history.wanted or ((now, current),)
    recent = (*((t, n) for t, n in earlier if now - t < STABLE_SECONDS and n > wanted), (now, wanted))
    # What happens in a paused queue needs no worker.
    moved = demand.mark != history.mark and not demand.paused
    idle_since = None if jobs else (now if moved or history.idle_since is None else history.idle_since)
    history = History(recent, idle_since, demand.mark)
    if wanted >= current:
        return Decision(wanted, _why(spec, demand, wanted), None, history)
    if idle_since is None:
        replicas, ends = _stabilized(recent, current)
        return Decision(replicas, _why(spec, demand, replicas), _seconds_until(ends, now), history)
    return _idle(spec, demand, current, history, now)


def _idle(spec: ScalingSpec, demand: Demand, current: int, history: History, now: float) -> Decision:
    """No job at all: down to one worker when stable, and to minReplicas after idleSeconds."""
    assert history.idle_since is not None
    idle_until = history.idle_since + spec.idle_seconds
    if now >= idle_until:
        state = "paused and nothing active" if demand.paused else f"no jobs for {spec.idle_seconds} s"
        return Decision(spec.min_replicas, f"{state} -> {_replicas(spec.min_replicas)}", None, history)
    stabilized, ends = _stabilized(history.wanted, current)
    replicas = min(current, max(stabilized, spec.min_replicas, 1))
    check_at = idle_until if ends is None or replicas <= max(spec.min_replicas, 1) else min(ends, idle_until)
    reason = f"no jobs, idle in {math.ceil(idle_until - now)} s -> {_replicas(replicas)}"
    return Decision(replicas, reason, _seconds_until(check_at, now), history)


def _external(spec: ScalingSpec, current: int, history: History) -> Decision:
    if spec.replicas is None:
        return Decision(
            spec.min_replicas, f"spec.replicas is not set -> minReplicas {spec.min_replicas}", None, history
        )
    # 0 is the outside scaler's to choose, also below minReplicas: it is how KEDA puts a queue to sleep.
    replicas = 0 if spec.replicas == 0 else _clamp(spec, spec.replicas)
    limit = "" if replicas == spec.replicas else f", limited to {replicas}"
    return Decision(replicas, f"spec.replicas is {spec.replicas}{limit}", None, history)


def _stabilized(wanted: tuple[tuple[float, int], ...], current: int) -> tuple[int, float | None]:
    """The highest recent wish but not above `current`, and when it will have passed."""
    highest = max(number for _, number in wanted)
    latest = max(time for time, number in wanted if number == highest)
    is_last = wanted[-1] == (latest, highest)
    return min(highest, current), None if is_last else latest + STABLE_SECONDS


def _why(spec: ScalingSpec, demand: Demand, replicas: int) -> str:
    parts = [] if demand.paused else [f"waiting {demand.waiting}"]
    parts += [f"due {demand.due}"] if demand.due and not demand.paused else []
    parts.append(f"active {demand.active}")
    paused = "paused, " if demand.paused else ""
    unclamped = math.ceil(demand.total / spec.jobs_per_replica)
    limit = ""
    if unclamped > spec.max_replicas:
        limit = f", maxReplicas {spec.max_replicas}"
    elif unclamped < spec.min_replicas:
        limit = f", minReplicas {spec.min_replicas}"
    jobs = f"{demand.total} job" if demand.total == 1 else f"{demand.total} jobs"
    return f"{paused}{', '.join(parts)}: {jobs} / {spec.jobs_per_replica} per replica{limit} -> {_replicas(replicas)}"


def _replicas(number: int) -> str:
    return "1 replica" if number == 1 else f"{number} replicas"


def _clamp(spec: ScalingSpec, replicas: int) -> int:
    return max(spec.min_replicas, min(spec.max_replicas, replicas))


def _seconds_until(then: float | None, now: float) -> float | None:
    return None if then is None else max(0.05, then - now)
