"""Whom a scale-in takes: workers that have nothing to do, and will get nothing. Pure, and asked again and again.

A ReplicaSet kills pods that are not ready first, and of the ready ones those with the lowest deletion cost; it knows
nothing of jobs. So a scale-in is a drain, in steps, each of which is taken once the one before can be seen:

1. as many workers as are to go are asked to fetch nothing more: those that only start, then the idle ones, then those
   with the least to do;
2. one that says, of that very request, that it has nothing, gets its pod marked by a low deletion cost;
3. once the marks are seen, replicas is lowered by just as many as are marked and idle, while the requests hold;
4. the marks stay until these pods are on their way out. Any other mark or request is taken back, before anything else.

All that is decided by is in the cluster and in Redis, so that an operator that begins anew goes on where another one
has stopped. A worker that is busy is waited for, however long it takes. Nobody is marked where all are to go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from crewline_operator.model.worker import Worker

#: What nobody knows of.
NOBODY = Worker()


@dataclass(frozen=True)
class Pod:
    """A worker's pod that is not on its way out."""

    name: str
    uid: str
    #: Which pod template it is of.
    rollout: str
    ready: bool
    created: str
    marked: bool


@dataclass(frozen=True)
class Fleet:
    """What there is of a queue's workers."""

    #: As many as the Deployment asks for.
    replicas: int
    #: As many as its ReplicaSets have, as far as it tells, and whether all of them are of the newest template.
    has: int
    rolled_out: bool
    pods: Sequence[Pod]
    #: By the uid of the pod; None if that could not be read, or was not asked for.
    workers: Mapping[str, Worker] | None
    #: Uids of pods on their way out.
    leaving: Sequence[str] = ()
    #: The cluster refuses pods.
    short: bool = False
    #: No worker runs a job; None if that is not known.
    idle: bool | None = None
    #: The workers may be programs of another kind, which tell nothing of themselves.
    foreign: bool = False

    def worker(self, pod: Pod) -> Worker:
        return (self.workers or {}).get(pod.uid, NOBODY)

    @property
    def is_over(self) -> bool:
        """Whether pods have yet to go for the last lowering."""
        return len(self.pods) > self.replicas or self.has > self.replicas

    @property
    def is_rolling(self) -> bool:
        """Whether pods of one template are replaced by those of another."""
        return not self.rolled_out or len({pod.rollout for pod in self.pods}) > 1

    @property
    def is_settled(self) -> bool:
        """Whether there are just as many pods as wanted."""
        return len(self.pods) == self.replicas == self.has and not self.is_rolling

    def is_idle(self, pod: Pod) -> bool:
        """Whether its worker has nothing, and gets nothing as long as its request holds."""
        worker = self.worker(pod)
        if not worker.asked:
            return False
        if worker.known:
            return worker.follows and worker.held == 0
        # One that starts is asked before it fetches. One that tells nothing has no job where nobody has.
        return not pod.ready or self.idle is True


@dataclass(frozen=True)
class Step:
    """What is to be done now, in this order."""

    replicas: int
    unmark: Sequence[Pod] = ()
    undrain: Sequence[str] = ()
    #: Uids of pods whose workers are to drain, or to drain on.
    drain: Sequence[str] = ()
    #: Tokens of those requests, by uid, that must have held all the time for replicas to be lowered.
    holding: Mapping[str, str] = field(default_factory=dict)
    mark: Sequence[Pod] = ()
    #: For what a scale-in waits, '' for nothing.
    waits: str = ""
    #: Whether the workers are to be looked at again: soon, since an answer is on its way, or in a while.
    looks: bool = False
    soon: bool = False


def next_step(wanted: int, fleet: Fleet) -> Step:
    """What to do for there to be so many workers."""
    going = [uid for uid in fleet.leaving if _is_to_hear(fleet, uid)]
    if wanted >= fleet.replicas:
        return _stay(wanted, fleet, going)
    if fleet.workers is None:
        waits = "the workers can't be asked yet to drain"
        return Step(fleet.replicas, drain=_marked(fleet), waits=waits, looks=True, soon=True)
    if fleet.foreign and not any(fleet.worker(pod).known for pod in fleet.pods):
        # Nobody can tell them to fetch nothing: they finish what they run once they are told to end.
        return Step(wanted, unmark=[pod for pod in fleet.pods if pod.marked], drain=going)
    if fleet.is_over:
        return _await_pods(fleet, going)
    if wanted and fleet.is_rolling:
        # A rollout kills pods by an order of its own.
        return replace(_stay(fleet.replicas, fleet, going), waits="the rollout ends first", looks=True)
    if wanted and not fleet.is_settled:
        # Pods are on their way, if nobody refuses them. To want no more than there are ends nobody.
        replicas = max(wanted, len(fleet.pods)) if fleet.short else fleet.replicas
        asked = [pod.uid for pod in fleet.pods if pod.marked or fleet.worker(pod).asked]
        return Step(replicas, drain=[*asked, *going], waits="pods are being made", looks=True, soon=True)
    return _drain(wanted, fleet, going)


def _is_to_hear(fleet: Fleet, uid: str) -> bool:
    """Whether a worker fetches although its pod is on its way out: it is told so up to 2 s later."""
    worker = (fleet.workers or {}).get(uid, NOBODY)
    return worker.known and not worker.asked and not worker.stopping


def _stay(wanted: int, fleet: Fleet, going: Sequence[str]) -> Step:
    """No worker is to go: those that were to go work on."""
    marked = [pod for pod in fleet.pods if pod.marked]
    if fleet.is_over:
        # Some of them are about to be killed: these must not fetch.
        kept, marked = marked, []
    else:
        kept = []
    asked = [pod.uid for pod in fleet.pods if fleet.worker(pod).asked or pod in marked]
    held = [pod.uid for pod in kept]
    return Step(
        wanted,
        unmark=marked,
        undrain=[uid for uid in asked if uid not in held],
        drain=[*held, *going],
        looks=bool(kept),
        soon=bool(kept),
    )


def _await_pods(fleet: Fleet, going: Sequence[str]) -> Step:
    """Replicas is lowered, and those marked for it are not on their way out yet: they must get nothing meanwhile."""
    asked = [pod.uid for pod in fleet.pods if pod.marked or fleet.worker(pod).asked]
    return Step(fleet.replicas, drain=[*asked, *going], waits="pods are on their way out", looks=True, soon=True)


def _drain(wanted: int, fleet: Fleet, going: Sequence[str]) -> Step:
    """Bring as many workers as are to go to where they have nothing, and let go those that have."""
    in_order = sorted(fleet.pods, key=lambda pod: pod.created, reverse=True)
    in_order.sort(key=lambda pod: _rank(pod, fleet))
    chosen = in_order[: fleet.replicas - wanted] if wanted else in_order
    # They go first whoever is chosen, and must not begin with anything just before.
    starting = [pod for pod in fleet.pods if not pod.ready]
    drained = [*chosen, *(pod for pod in starting if pod not in chosen)]
    idle = [pod for pod in chosen if fleet.is_idle(pod)]
    step = Step(
        fleet.replicas,
        # Whatever it was when it was marked, one that is not known to be idle must not be preferred to those that are.
        unmark=[pod for pod in fleet.pods if pod.marked and pod not in idle],
        undrain=[pod.uid for pod in fleet.pods if fleet.worker(pod).asked and pod not in drained],
        drain=[*(pod.uid for pod in drained), *going],
        waits=_waits(chosen, idle, fleet),
        looks=True,
        soon=any(_is_to_answer(pod, fleet) for pod in drained),
    )
    if not wanted and len(idle) == len(fleet.pods) >= fleet.has:
        return _lowered(step, 0, idle, fleet)
    if not fleet.is_settled:
        # All are to go, and one is busy: nobody can be chosen in a rollout.
        return step
    unmarked = [pod for pod in idle if not pod.marked]
    if unmarked or step.unmark:
        return replace(step, mark=unmarked, soon=True)
    if not idle or not all(fleet.is_idle(pod) for pod in starting):
        return step
    return _lowered(step, fleet.replicas - len(idle), [*idle, *starting], fleet)


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


def _marked(fleet: Fleet) -> list[str]:
    return [pod.uid for pod in fleet.pods if pod.marked]
