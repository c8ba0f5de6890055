"""What a plan for a JobQueue is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crewline_operator.effects.done import Applied, Claimed, Denied, PauseDenied
from crewline_operator.model.attention import Attention
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Object
from crewline_operator.model.left import Left
from crewline_operator.model.owner import Owner
from crewline_operator.model.worker import Worker
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.reading import Reading, Target
from crewline_operator.scaling.decide import History


@dataclass(frozen=True)
class Code:
    """The ConfigMap with the handler's source: a digest of its data, or that it is missing."""

    digest: str | None = None
    missing: bool = False


@dataclass(frozen=True)
class Move:
    """The queue that the spec names, where that is another one than the one that is served."""

    queue: str
    prefix: str
    endpoint: Endpoint | Fault
    #: What the queue that is served has left; None if that can't be read.
    left: Left | None = None
    #: The statuses of the ScheduledJobs that add to it, by their uid.
    scheduled: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Observed:
    """All that a plan is made from, besides the JobQueue itself."""

    #: The operator's wall clock, which may be wrong: for moments that are told, and for nothing that is decided.
    now: datetime
    #: The monotonic clock, in seconds: what is decided by time is decided by this one, or by Redis'.
    clock: float
    #: The JobQueue, as a claim names it.
    me: Owner
    endpoint: Endpoint | Fault
    status: Mapping[str, Any] = field(default_factory=dict)
    deployment: Object | None = None
    service_account: Object | None = None
    disruption_budget: Object | None = None
    pods: Sequence[Object] = ()
    #: What has the name of the larger worker's pod, whoever made it; looked for where there may be one.
    larger: Object | None = None
    #: The ReplicaSets, where a rollout has more than one earlier template to replace.
    replica_sets: Sequence[Object] = ()
    #: What the workers tell of themselves, by the uid of the pod; None if nobody looked, or it could not be read.
    workers: Mapping[str, Worker] | None = None
    looked: bool = False
    #: Since when no worker is ready although some are wanted, by the monotonic clock; None if it is not so.
    unready_since: float | None = None
    #: Uids of the pods whose workers have told of themselves to this process.
    telling: frozenset[str] = frozenset()
    #: Since when workers run nothing whose pods are still shielded, by the uid of the pod and the monotonic clock.
    idle_since: Mapping[str, float] = field(default_factory=dict)
    #: What is read of the queue now, and the last read of it; that is empty until `followed` is what is wanted.
    followed: tuple[Endpoint, Target] | None = None
    reading: Reading = field(default_factory=Reading)
    attention: Attention = Attention.STEADY
    code: Code = field(default_factory=Code)
    #: All else here is about the queue that is served.
    move: Move | None = None
    #: The JobQueue is deleted, and somebody's finalizer holds it, or the garbage collector deletes its children first.
    going: bool = False
    #: The Redis is reached another way than before.
    same_place: bool = False
    #: The Lease of another operator that looks after the JobQueue and is alive, '' if there is none; and whom the last
    #: plan left it to.
    other_operator: str = ""
    told_operator: str = ""
    #: Whether the JobQueue that has the queue, if it is another one, is gone as far as this cluster can tell.
    owner_gone: bool = False
    #: What this process has claimed for the JobQueue, and since when nobody was seen to have the queue.
    claimed: Claimed | None = None
    unclaimed_since: float | None = None
    #: Uids of ScheduledJobs that are gone, or add to another queue by now, and of whose runs Redis still knows.
    strays: Sequence[str] = ()
    #: What else has a child's name, such as "Deployment 'emails'".
    taken_name: str | None = None
    #: A child of a deleted JobQueue of the same name that is still there, as above.
    stale_child: str | None = None
    #: What the API server said to the manifests that were just applied, if it does not take them.
    refusal: Fault | None = None
    #: The last pause or resume that Redis did not take.
    pause_denied: PauseDenied | None = None
    #: Why the API server did not take a larger worker's pod.
    larger_denied: Denied | None = None
    #: ... and the last request to drain, or to drain no more.
    drain_denied: Denied | None = None
    #: ... and the last write of settings and limits.
    settings_denied: Denied | None = None
    history: History = field(default_factory=History)
    #: What this process applied last, by the kind of the child, and how long ago it wrote the status.
    applied: Mapping[str, Applied] = field(default_factory=dict)
    status_age_seconds: float = math.inf
    #: How long ago it swept the queue.
    sweep_age_seconds: float = math.inf
    #: For how long this process has known the JobQueue.
    known_seconds: float = 0.0

    @property
    def current_replicas(self) -> int:
        """How many workers the Deployment asks for now."""
        if self.deployment is None:
            return 0
        replicas: int = self.deployment["spec"].get("replicas", 1)
        return replicas

    @property
    def lacks_workers(self) -> bool:
        """Whether no worker is ready although some are wanted."""
        ready = (self.deployment or {}).get("status", {}).get("readyReplicas", 0)
        return self.current_replicas > 0 and ready == 0

    @property
    def holder(self) -> Owner | None:
        """Another JobQueue that has the queue, and keeps it."""
        snapshot = self.reading.snapshot
        owner = snapshot.owner if snapshot is not None else None
        # A cluster's id changes with its certificate; a uid stays.
        return None if owner is None or owner.uid == self.me.uid or self.owner_gone else owner

    @property
    def claim_age_seconds(self) -> float:
        """How long ago this process claimed the queue, or renewed the claim."""
        return math.inf if self.claimed is None else self.clock - self.claimed.renewed

    @property
    def first_read_pending(self) -> bool:
        """Whether Redis is known but was neither read nor found faulty yet."""
        return isinstance(self.endpoint, Endpoint) and self.reading == Reading()
