"""Whom a scale-in takes: workers that have nothing to do, and will get nothing. Pure, and asked again and again.

A ReplicaSet kills pods that are not ready first, and of the ready ones those with the lowest deletion cost; it knows
nothing of jobs. So a scale-in is a drain, in steps, each of which is taken once the one before can be seen:

1. as many workers as are to go are asked to fetch nothing more: those that only start, then the idle ones, then those
   with the least to do;
2. one that says, of that very request, that it has nothing, gets its pod marked by a low deletion cost;
3. once the marks are seen, they are made once more, and replicas is lowered by just as many as are marked and idle,
   while the requests hold. The same write says on the Deployment by which pods; where none is left that is all;
4. until these are on their way out, or as many others are, their marks and requests stay. Any other mark or request
   is taken back, before anything else.

All that is decided by is in the cluster and in Redis, so that an operator that begins anew goes on where another one
has stopped. A worker that is busy is waited for, however long it takes. Nobody is marked where all are to go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from crewline_operator.scaling.fleet import NOBODY, Fleet, Pod

#: By no more pods than that at once: the Deployment names them all.
MOST_GOING = 1000


@dataclass(frozen=True)
class Step:
    """What is to be done now, in this order."""

    replicas: int
    unmark: Sequence[Pod] = ()
    undrain: Sequence[str] = ()
    #: To be marked, or to be marked still.
    mark: Sequence[Pod] = ()
    #: Uids of pods whose workers are to drain, or to drain on.
    drain: Sequence[str] = ()
    #: Tokens of those requests, by uid, that must have held all the time for replicas to be lowered.
    holding: Mapping[str, str] = field(default_factory=dict)
    #: What the Deployment is to say of the pods by which replicas was lowered.
    going: frozenset[str] = frozenset()
    #: For what a scale-in waits, '' for nothing.
    waits: str = ""
    #: Whether the workers are to be looked at again: soon, since an answer is on its way, or in a while.
    looks: bool = False
    soon: bool = False
    #: Nobody is asked now, since Redis has just refused it.
    refused: bool = False


def next_step(wanted: int, fleet: Fleet) -> Step:
    """What to do for there to be so many workers."""
    step = _step(wanted, fleet)
    if fleet.refused and (step.drain or step.undrain):
        step = Step(
            # What relies on requests is not done.
            max(step.replicas, fleet.replicas),
            unmark=step.unmark,
            waits="Redis does not let workers be asked to drain",
            looks=True,
            refused=True,
        )
    return replace(step, going=_going(step, fleet))


def _step(wanted: int, fleet: Fleet) -> Step:
    to_hear = [uid for uid in fleet.leaving if _is_to_hear(fleet, uid)]
    if wanted >= fleet.replicas:
        return _stay(wanted, fleet, to_hear)
    if fleet.workers is None and not fleet.is_silent:
        waits = "the workers can't be asked yet to drain"
        asked = [pod.uid for pod in fleet.pods if pod.marked or pod in fleet.to_go]
        return Step(fleet.replicas, drain=asked, waits=waits, looks=True, soon=True)
    if fleet.foreign and not any(fleet.is_told(pod) for pod in fleet.pods):
        # Nobody can tell them to fetch nothing: they finish what they run once they are told to end.
        return Step(wanted, unmark=[pod for pod in fleet.pods if pod.marked], drain=to_hear)
    if fleet.to_go:
        return _await(fleet.replicas, wanted, fleet, to_hear, "pods are on their way out")
    if wanted and fleet.is_rolling:
        # A rollout kills pods by an order of its own.
        return replace(_stay(fleet.replicas, fleet, to_hear), waits="the rollout ends first", looks=True)
    if wanted and not fleet.is_settled:
        # Pods are on their way, if nobody refuses them. To want no more than there are ends nobody.
        replicas = min(max(wanted, len(fleet.pods)), fleet.replicas) if fleet.short else fleet.replicas
        return _await(replicas, wanted, fleet, to_hear, "pods are being made or ended")
    return _drain(wanted, fleet, to_hear)


def _going(step: Step, fleet: Fleet) -> frozenset[str]:
    """By which pods replicas is lowered, or was and they are still to go."""
    to_go = frozenset(pod.uid for pod in fleet.to_go[:MOST_GOING])
    if step.replicas < fleet.replicas:
        return frozenset(step.holding) if step.replicas else frozenset()
    if step.replicas > fleet.replicas:
        # Their ReplicaSet may not know that they are wanted again.
        return to_go
    # Whoever is gone need not be taken off.
    return to_go if fleet.released else fleet.going


def _is_to_hear(fleet: Fleet, uid: str) -> bool:
    """Whether a worker fetches although its pod is on its way out: it is told so up to 2 s later."""
    worker = (fleet.workers or {}).get(uid, NOBODY)
    return worker.known and not worker.asked and not worker.stopping


def _stay(wanted: int, fleet: Fleet, to_hear: Sequence[str]) -> Step:
    """No other worker is to go: those that were to go work on."""
    return _keep(wanted, fleet, to_hear, fleet.to_go)


def _await(replicas: int, wanted: int, fleet: Fleet, to_hear: Sequence[str], waits: str) -> Step:
    """Nobody can be chosen yet: of those that drain, as many go on with it as are to go."""
    to_go = {pod.uid for pod in fleet.to_go}
    staying = [pod for pod in _in_order(fleet) if pod.uid not in to_go]
    drained = [pod for pod in staying if pod.marked or fleet.worker(pod).asked]
    kept = [*fleet.to_go, *drained[: fleet.replicas - wanted]]
    return replace(_keep(replicas, fleet, to_hear, kept), waits=waits, looks=True)


def _keep(replicas: int, fleet: Fleet, to_hear: Sequence[str], kept: Sequence[Pod]) -> Step:
    """Nobody drains but these."""
    uids = {pod.uid for pod in kept}
    others = [pod for pod in fleet.pods if pod.uid not in uids]
    undrain = [pod.uid for pod in others if pod.marked or fleet.worker(pod).asked]
    return Step(
        replicas,
        unmark=[pod for pod in others if pod.marked],
        undrain=undrain,
        drain=[*(pod.uid for pod in kept if fleet.is_told(pod)), *to_hear],
        # A request that is taken back is looked for once more: Redis may not have taken that.
        looks=bool(kept or undrain),
    )


def _drain(wanted: int, fleet: Fleet, to_hear: Sequence[str]) -> Step:
    """Bring as many workers as are to go to where they have nothing, and let go those that have."""
    in_order = _in_order(fleet)
    chosen = in_order[: min(fleet.replicas - wanted, MOST_GOING)] if wanted else in_order
    # They go first whoever is chosen, and must not begin with anything just before.
    starting = [pod for pod in fleet.pods if not pod.ready]
    drained = [*chosen, *(pod for pod in starting if pod not in chosen)]
    idle = [pod for pod in chosen if fleet.is_idle(pod)]
    step = Step(
        fleet.replicas,
        # Whatever it was when it was marked, one that is not known to be idle must not be preferred to those that are.
        unmark=[pod for pod in fleet.pods if pod.marked and pod not in idle],
        undrain=[pod.uid for pod in fleet.pods if fleet.worker(pod).asked and pod not in drained],
        drain=[*(pod.uid for pod in drained), *to_hear],
        waits=_waits(chosen, idle, fleet),
        looks=True,
        soon=any(_is_to_answer(pod, fleet) for pod in drained),
    )
    if not wanted and fleet.seen and len(idle) == len(fleet.pods) >= fleet.has:
        return _lowered(step, 0, idle, fleet)
    if not fleet.is_settled:
        # All are to go, and one is busy: nobody can be chosen in a rollout.
        return step
    unmarked = [pod for pod in idle if not pod.marked]
    if unmarked or step.unmark:
        return replace(step, mark=unmarked, soon=True)
    if not idle or not all(fleet.is_idle(pod) for pod in starting):
        return step
    # Marks can be older than they look, and be taken back by now.
    return _lowered(replace(step, mark=idle), fleet.replicas - len(idle), [*idle, *starting], fleet)


def _in_order(fleet: Fleet) -> list[Pod]:
    newest = sorted(fleet.pods, key=lambda pod: pod.created, reverse=True)
    return sorted(newest, key=lambda pod: _rank(pod, fleet))


def _rank(pod: Pod, fleet: Fleet) -> tuple[bool, int, int]:
    """Who goes first. One that drains already goes on with it, unless it is busy and another one is idle."""
    worker = fleet.worker(pod)
    if not worker.known:
        place = 0 if not pod.ready else 4
    elif worker.asked:
        place = 2 if worker.follows and worker.busy else 0
    else:
        place = 3 if worker.busy else 1
    return pod.ready, place, worker.busy


def _is_to_answer(pod: Pod, fleet: Fleet) -> bool:
    """Whether a worker is about to say that it follows its request, or that it has nothing more."""
    worker = fleet.worker(pod)
    return not worker.asked or (worker.known and not (worker.follows and worker.busy))


def _lowered(step: Step, replicas: int, idle: Sequence[Pod], fleet: Fleet) -> Step:
    holding = {pod.uid: fleet.worker(pod).asked for pod in idle}
    return replace(step, replicas=replicas, holding=holding, soon=True)


def _waits(chosen: Sequence[Pod], idle: Sequence[Pod], fleet: Fleet) -> str:
    """For whom a scale-in waits."""
    busy = [pod for pod in chosen if pod not in idle]
    silent = [pod for pod in busy if pod.ready and not fleet.worker(pod).known]
    if silent:
        return f"pod {silent[0].name} tells nothing of its jobs: it goes once none of the queue's jobs runs"
    at_work = [pod for pod in busy if fleet.worker(pod).busy]
    if not at_work:
        return "workers are asked to fetch nothing more"
    return f"{len(at_work)} busy {'worker finishes its' if len(at_work) == 1 else 'workers finish their'} jobs first"
