"""How many workers a queue should have: a pure function of its demand, what was decided before, and the clock.

Up at once to what the target asks for (targets.py), down only as the windows let it (windows.py), and never below what
runs. To minReplicas only when there was no job at all for idleSeconds, which the queue's own counter and events tell: a
short job is seen by no look at what is there now. A number that could not be read scales nothing, but that after
fallback.afterSeconds there are fallback.replicas at least.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from crewline_operator.model.demand import Demand
from crewline_operator.scaling.rates import Rates, observe
from crewline_operator.scaling.spec import EXTERNAL, ScalingSpec
from crewline_operator.scaling.targets import Wish, longest_window, measures, wish_for
from crewline_operator.scaling.windows import Floor, Windows

#: What is soonest looked at again.
SOON_SECONDS = 0.05


@dataclass(frozen=True)
class History:
    """What a decision needs to know of the earlier ones. Lost with the process, which only delays scaling down."""

    windows: Windows = field(default_factory=Windows)
    rates: Rates = field(default_factory=Rates)
    #: Since when there has been no job, and none has come and gone unseen; None while there is one.
    idle_since: float | None = None
    #: What had happened then.
    mark: str | None = None
    #: Since when the demand could not be read; None while it can.
    unread_since: float | None = None


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
    if demand is not None:
        history = _with_read(spec, demand, history, now)
    if spec.hold:
        held = replace(history, windows=history.windows.stood(current, now))
        return Decision(current, f"spec.scaling.hold is true -> {_replicas(current)} as before", None, held)
    if spec.mode == EXTERNAL:
        return _external(spec, current, history, now)
    if demand is None:
        return _unread(spec, current, history, now)
    wish = wish_for(spec, demand, history.rates)
    needed = _clamp(spec, wish.needed)
    # What runs counts for going down alone: that what ran in the window gets its slots again needs no new worker.
    kept = max(wish.kept, _running(spec, demand))
    windows = history.windows.wanted(_clamp(spec, kept), current, now, spec.behavior)
    if needed >= current:
        if needed > current:
            windows = windows.went_up(needed, current, now)
        reason = f"{wish.why}{_limit(spec, wish.needed)} -> {_replicas(needed)}"
        return Decision(needed, reason, _measured_again(spec, demand, wish), replace(history, windows=windows))
    return _down(spec, demand, wish, current, replace(history, windows=windows), now)


def _with_read(spec: ScalingSpec, demand: Demand, history: History, now: float) -> History:
    """`history` with what the read tells of jobs that came and went."""
    # What happens in a paused queue needs no worker.
    moved = demand.mark != history.mark and not demand.paused
    idle_since = None if demand.total else (now if moved or history.idle_since is None else history.idle_since)
    rates = Rates()
    if measures(spec):
        rates = observe(history.rates, demand, spec.behavior, longest_window(spec))
    return replace(history, rates=rates, idle_since=idle_since, mark=demand.mark, unread_since=None)


def _down(spec: ScalingSpec, demand: Demand, wish: Wish, current: int, history: History, now: float) -> Decision:
    """As far down as all that keeps workers lets it."""
    windows, behavior = history.windows, spec.behavior
    floors = [
        Floor(_clamp(spec, wish.needed), ""),
        Floor(_running(spec, demand), f"active {demand.active}"),
        *windows.floors(current, now, behavior),
    ]
    idle_at = None
    if history.idle_since is not None:
        idle_at = max(history.idle_since + spec.idle_seconds, windows.panic_until(behavior))
        if now >= idle_at:
            # Nothing runs that a smaller step would spare.
            state = "paused and nothing active" if demand.paused else f"{_nothing(demand)} for {spec.idle_seconds} s"
            return Decision(spec.min_replicas, f"{state} -> {_replicas(spec.min_replicas)}", None, history)
        floors.append(Floor(1, ""))
    # Of equal ones the first: the wish itself before what else keeps as many.
    floor = max(floors, key=lambda each: each.replicas)
    replicas = _clamp(spec, min(floor.replicas, current))
    if replicas < current:
        history = replace(history, windows=windows.went_down(replicas, now, behavior))
    if idle_at is not None:
        basis = f"{_nothing(demand)}, idle in {math.ceil(idle_at - now)} s"
    else:
        kept = f" = {floors[0].replicas}, {floor.why}" if floor.why else ""
        basis = f"{wish.why}{_limit(spec, wish.needed)}{kept}"
    checks = [_measured_again(spec, demand, wish), _seconds_until(idle_at, now), _seconds_until(floor.until, now)]
    check = min((seconds for seconds in checks if seconds is not None), default=None)
    return Decision(replicas, f"{basis} -> {_replicas(replicas)}", check, history)


def _unread(spec: ScalingSpec, current: int, history: History, now: float) -> Decision:
    """The demand is not known: workers stay, within the bounds, until the fallback makes them more."""
    since = now if history.unread_since is None else history.unread_since
    history = replace(history, unread_since=since, windows=history.windows.stood(current, now))
    held, fallback = _clamp(spec, current), spec.fallback
    if held != current:
        bound = "minReplicas" if held > current else "maxReplicas"
        reason = f"{bound} is {held}, and the demand is not known yet -> {_replicas(held)}"
        return Decision(held, reason, SOON_SECONDS if fallback else None, history)
    if fallback is None or _clamp(spec, fallback.replicas) <= current:
        return Decision(current, "the demand can't be read: workers stay as they are", None, history)
    left = since + fallback.after_seconds - now
    if left > 0:
        reason = f"the demand can't be read: workers stay as they are, fallback in {math.ceil(left)} s"
        return Decision(current, reason, max(SOON_SECONDS, left), history)
    replicas = _clamp(spec, fallback.replicas)
    reason = f"the demand can't be read for {fallback.after_seconds} s: fallback -> {_replicas(replicas)}"
    return Decision(replicas, reason, None, history)


def _external(spec: ScalingSpec, current: int, history: History, now: float) -> Decision:
    history = replace(history, windows=history.windows.stood(current, now))
    if spec.replicas is None:
        # Nobody has decided yet: the switch to this mode stops nobody.
        kept = _clamp(spec, current)
        return Decision(kept, f"spec.replicas is not set -> {_replicas(kept)}, as before", None, history)
    # 0 is the outside scaler's to choose, also below minReplicas: it is how KEDA puts a queue to sleep.
    replicas = 0 if spec.replicas == 0 else _clamp(spec, spec.replicas)
    limit = "" if replicas == spec.replicas else f", limited to {replicas}"
    return Decision(replicas, f"spec.replicas is {spec.replicas}{limit}", None, history)


def _nothing(demand: Demand) -> str:
    """That there is nothing to do."""
    return f"no jobs but {demand.held} that limits hold back" if demand.held else "no jobs"


def _running(spec: ScalingSpec, demand: Demand) -> int:
    """How many workers have enough slots for what runs."""
    return math.ceil(demand.active / spec.concurrency)


def _measured_again(spec: ScalingSpec, demand: Demand, wish: Wish) -> float | None:
    """When to measure again: rates move while the counts stand still; soon where jobs wait."""
    if not measures(spec) or not (demand.total or wish.kept):
        return None
    return spec.behavior.panic_seconds / (6 if demand.queued else 2)


def _limit(spec: ScalingSpec, needed: int) -> str:
    if needed > spec.max_replicas:
        return f", maxReplicas {spec.max_replicas}"
    return f", minReplicas {spec.min_replicas}" if needed < spec.min_replicas else ""


def _replicas(number: int) -> str:
    return "1 replica" if number == 1 else f"{number} replicas"


def _clamp(spec: ScalingSpec, replicas: int) -> int:
    return max(spec.min_replicas, min(spec.max_replicas, replicas))


def _seconds_until(then: float | None, now: float) -> float | None:
    return None if then is None else max(SOON_SECONDS, then - now)
