"""A queue's workers and their pods, as a scale-in looks at them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

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
    #: It is of an earlier template than the Deployment's.
    outdated: bool = False


@dataclass(frozen=True)
class ReplicaSet:
    """How many pods it is to have, and since when it is there."""

    replicas: int
    created: str


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
    #: Whether the Deployment has taken in what was asked last; what it has is not known before.
    seen: bool = True
    #: Uids of the pods by which replicas was lowered last, as the Deployment says.
    going: frozenset[str] = frozenset()
    #: Uids of pods on their way out.
    leaving: Sequence[str] = ()
    #: The cluster refuses pods.
    short: bool = False
    #: No worker runs a job; None if that is not known.
    idle: bool | None = None
    #: The workers may be programs of another kind, which tell nothing of themselves.
    foreign: bool = False
    #: Uids of pods whose workers have told of themselves before: Redis may have lost that.
    telling: frozenset[str] = frozenset()
    #: By what their pods have in common; none where it does not matter.
    sets: Mapping[str, ReplicaSet] = field(default_factory=dict)
    #: Redis has just taken no request to drain, or did not let one be taken back.
    refused: bool = False
    #: The cluster lets a ReplicaSet kill no pod that is ready and not marked.
    guarded: bool = False

    def worker(self, pod: Pod) -> Worker:
        return (self.workers or {}).get(pod.uid, NOBODY)

    @cached_property
    def to_go(self) -> list[Pod]:
        """The pods that a ReplicaSet is about to kill: replicas is lowered by them already."""
        if not self.replicas:
            return list(self.pods)
        # A ReplicaSet whose pods are as many as asked for has killed all it had to, be it others than these. Those of
        # another template, which a rollout has beside them, are another ReplicaSet's.
        live = Counter(pod.rollout for pod in self.pods)
        lags = not self.seen or (self.has > self.replicas and not self.is_rolling)
        return [pod for pod in self.pods if pod.uid in self.going and (lags or live[pod.rollout] > self.replicas)]

    @property
    def released(self) -> list[Pod]:
        """The pods by which replicas was lowered, and that live on."""
        to_go = {pod.uid for pod in self.to_go}
        return [pod for pod in self.pods if pod.uid in self.going - to_go]

    @property
    def is_rolling(self) -> bool:
        """Whether pods of one template are replaced by those of another."""
        several = len({pod.rollout for pod in self.pods}) > 1
        return not self.rolled_out or several or any(pod.outdated for pod in self.pods)

    @property
    def outdated(self) -> int:
        """How many pods a rollout is to replace yet."""
        return sum(pod.outdated for pod in self.pods)

    def surplus(self, wanted: int) -> int:
        """How many pods of an earlier template a rollout needs no more, since newer ones are there for their jobs."""
        newer = sum(pod.ready and not pod.outdated for pod in self.pods)
        return min(max(self.outdated + newer - wanted, 0), self.outdated)

    @property
    def is_settled(self) -> bool:
        """Whether there are just as many pods as wanted."""
        return self.seen and len(self.pods) == self.replicas == self.has and not self.is_rolling

    def is_idle(self, pod: Pod) -> bool:
        """Whether its worker has nothing, and gets nothing as long as its request holds."""
        worker = self.worker(pod)
        if not worker.asked:
            return False
        if worker.known:
            return worker.follows and worker.held == 0
        # One that starts is asked before it fetches. One that tells nothing has no job where nobody has.
        return not pod.ready or self.idle is True

    @property
    def is_silent(self) -> bool:
        """Whether nobody can be asked, and nobody would be: Redis can't be read, and the workers are no Crewline's.

        What is wanted of them then is what somebody says, since nothing is decided by a demand that is not known.
        """
        return not self.can_ask and self.idle is None

    @property
    def can_ask(self) -> bool:
        """Whether any of the workers can be asked to drain."""
        return not self.foreign or any(self.is_told(pod) for pod in self.pods)

    def is_told(self, pod: Pod) -> bool:
        """Whether its worker can be asked to drain: a program of another kind hears of nothing."""
        return not self.foreign or self.worker(pod).known or pod.uid in self.telling
