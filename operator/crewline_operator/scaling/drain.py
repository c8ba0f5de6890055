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
has stopped. A worker that is busy is waited for, however long it takes. Where all are to go nobody need be marked, but
for a cluster that lets no other pods be killed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crewline_operator.scaling.fleet import NOBODY, Fleet, Pod
from crewline_operator.scaling.rollout import roll
from crewline_operator.scaling.step import Step, ask_later, in_order, is_to_answer, keep

#: By no more pods than that at once: the Deployment names them all.
MOST_GOING = 1000


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
    if wanted and fleet.outdated and fleet.can_ask:
        return roll(wanted, fleet, to_hear)
    if wanted >= fleet.replicas:
        return _stay(wanted, fleet, to_hear)
    if fleet.workers is None and not fleet.is_silent:
        return ask_later(fleet.replicas, fleet, "the workers can't be asked yet to drain")
    if not fleet.can_ask:
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
    return keep(wanted, fleet, to_hear, fleet.to_go)


def _await(replicas: int, wanted: int, fleet: Fleet, to_hear: Sequence[str], waits: str) -> Step:
    """Nobody can be chosen yet: of those that drain, as many go on with it as are to go."""
    to_go = {pod.uid for pod in fleet.to_go}
    staying = [pod for pod in in_order(fleet) if pod.uid not in to_go]
    drained = [pod for pod in staying if pod.marked or fleet.worker(pod).asked]
    kept = [*fleet.to_go, *drained[: fleet.replicas - wanted]]
    return replace(keep(replicas, fleet, to_hear, kept), waits=waits, looks=True)


def _drain(wanted: int, fleet: Fleet, to_hear: Sequence[str]) -> Step:
    """Bring as many workers as are to go to where they have nothing, and let go those that have."""
    ordered = in_order(fleet)
    chosen = ordered[: min(fleet.replicas - wanted, MOST_GOING)] if wanted else ordered
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
        soon=any(is_to_answer(pod, fleet) for pod in drained),
    )
    if not wanted and fleet.seen and len(idle) == len(fleet.pods) >= fleet.has:
        unmarked = [pod for pod in idle if not pod.marked]
        if fleet.guarded and unmarked:
            return replace(step, mark=unmarked, soon=True)
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
