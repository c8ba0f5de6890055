"""What a scale-in or a rollout comes to now, and what both make it from. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from crewline_operator.scaling.fleet import Fleet, Pod


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


def ask_later(replicas: int, fleet: Fleet, waits: str) -> Step:
    """Nobody knows what the workers do: those that drain go on with it."""
    asked = [pod.uid for pod in fleet.pods if pod.marked or pod in fleet.to_go]
    return Step(replicas, drain=asked, waits=waits, looks=True, soon=True)


def keep(replicas: int, fleet: Fleet, to_hear: Sequence[str], kept: Sequence[Pod]) -> Step:
    """Nobody drains but these."""
    uids = {pod.uid for pod in kept}
    others = [pod for pod in fleet.pods if pod.uid not in uids]
    undrain = [pod.uid for pod in others if pod.marked or fleet.worker(pod).asked]
    return Step(
        replicas,
        unmark=[pod for pod in others if pod.marked],
        undrain=undrain,
        # Their ReplicaSet is refused to kill them until they are marked.
        mark=[pod for pod in fleet.to_go if fleet.guarded and not pod.marked and fleet.is_idle(pod)],
        drain=[*(pod.uid for pod in kept if fleet.is_told(pod)), *to_hear],
        # A request that is taken back is looked for once more: Redis may not have taken that.
        looks=bool(kept or undrain),
    )


def in_order(fleet: Fleet) -> list[Pod]:
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


def is_to_answer(pod: Pod, fleet: Fleet) -> bool:
    """Whether a worker is about to say that it follows its request, or that it has nothing more."""
    worker = fleet.worker(pod)
    return not worker.asked or (worker.known and not (worker.follows and worker.busy))
