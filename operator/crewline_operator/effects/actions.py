"""All that a plan can ask for. An action says what is to be so, not how, and can be asked for again without harm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crewline_operator.model.attention import Attention
from crewline_operator.model.note import Note
from crewline_operator.model.owner import Owner
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.model.urgency import Urgency
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.reading import Target

#: Why a job was refused that no queue would take: the object that names it has to be changed.
INVALID_JOB = "InvalidJob"
WORKER_DIED = "WorkerDied"


@dataclass(frozen=True)
class Claim:
    """Claim a queue that nobody has, or that `instead_of` has; who has it then comes with the next read.

    `shown` is the Redis as it may be shown, for the plan to know which queue it is that was claimed.
    """

    queue: QueueRef
    owner: Owner
    shown: str
    instead_of: Owner | None = None


@dataclass(frozen=True)
class KeepClaim:
    """Let the claim hold on. May fail in silence: it holds for a while, and is asked for again."""

    queue: QueueRef
    owner: Owner
    shown: str


@dataclass(frozen=True)
class GiveUpClaim:
    """Leave the queue to others. May fail in silence: then they take it over once they see that its object is gone."""

    queue: QueueRef
    owner: Owner


@dataclass(frozen=True)
class Follow:
    """Have a queue read with the others of its Redis; what is read comes with the next observation."""

    endpoint: Endpoint
    target: Target


@dataclass(frozen=True)
class Attend:
    """Look so closely at the object's queue, if it is followed."""

    attention: Attention


@dataclass(frozen=True)
class Unfollow:
    """Have the object's queue read no more."""


@dataclass(frozen=True)
class Apply:
    """Make the fields of `manifest` so, whoever owned them: a server-side apply."""

    manifest: Mapping[str, Any]
    #: Of the object to change, which was found to be ours; None if there was none, and it is to be made.
    uid: str | None = None

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])

    @property
    def digest(self) -> str:
        """The same for the same manifest, so that it need not be kept to know whether another one is to be applied."""
        return hashlib.sha256(json.dumps(self.manifest, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Remove:
    """Delete a child, and no other of its name."""

    kind: str
    name: str
    uid: str


@dataclass(frozen=True)
class WriteStatus:
    """Merge `patch` (RFC 7386) into the object's status."""

    patch: Mapping[str, Any]
    urgency: Urgency = Urgency.MATERIAL
    #: The object may be one that the API server does not take any more, whatever is changed of it.
    may_be_refused: bool = False


@dataclass(frozen=True)
class Pause:
    """Pause a queue in Redis, or resume it. `note` is left if that changed anything there."""

    queue: QueueRef
    paused: bool
    note: Note


@dataclass(frozen=True)
class WriteSettings:
    """Have a queue's workers follow `text`, and set BullMQ's limits, None for no bound, in the same moment.

    May fail in silence: what is read then is not what it is to be, and it is asked for again.
    """

    queue: QueueRef
    text: str
    limits: Mapping[str, int | None]


@dataclass(frozen=True)
class Drain:
    """Ask workers to fetch nothing more, or to go on with that; `workers` are the uids of their pods.

    The requests in `holding`, tokens by uid, must have held all the time: what comes after relies on it. Without any,
    it may fail in silence: it is asked for again.
    """

    queue: QueueRef
    workers: tuple[str, ...]
    holding: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Undrain:
    """Let workers fetch again. May fail in silence: a request ends by itself if it is not made again."""

    queue: QueueRef
    workers: tuple[str, ...]


@dataclass(frozen=True)
class Mark:
    """Have a pod, and no other of its name, killed before others of its ReplicaSet."""

    pod: str
    uid: str


@dataclass(frozen=True)
class Unmark:
    """Take that back. A pod that is not there any more needs nothing."""

    pod: str
    uid: str


@dataclass(frozen=True)
class Shield:
    """Have a pod ask those who consolidate nodes to leave it, or ask that no more. It may be gone by then."""

    pod: str
    uid: str
    is_busy: bool


@dataclass(frozen=True)
class HandBack:
    """Give others what a dead worker ran, by its entry in Redis; done once, since the entry goes with it.

    `blame`: whether one of its jobs may have been the cause; `fail_alone`: whether one that ran alone fails at once;
    `larger_first`: it waits for a larger worker before, once.
    """

    queue: QueueRef
    worker: Mapping[str, Any]
    cause: str
    blame: bool
    max_crashes: int
    fail_alone: bool = False
    larger_first: bool = False

    def note(self, back: int, failed: int) -> Note:
        """What is to be said once so many jobs were handed back, and so many fail by it."""
        jobs = [f"{back} of its jobs handed back"] + ([f"{failed} failed for good"] if failed else [])
        return Note("Warning" if self.blame else "Normal", WORKER_DIED, f"{self.cause}; {', '.join(jobs)}")


@dataclass(frozen=True)
class Sweep:
    """Keep the retention of a queue that no worker looks after, and its schedules going. May fail in silence."""

    queue: QueueRef


@dataclass(frozen=True)
class AddRun:
    """Add the job of a run, at most once whatever became of it. Of those that lie ahead the queue has this one alone.

    `options` are those of `Queue.add`; `digest` changes with what the job is made from.
    """

    queue: QueueRef
    owner: Owner
    run: datetime
    name: str
    data: Mapping[str, Any]
    options: Mapping[str, Any]
    digest: str


@dataclass(frozen=True)
class TakeBackRun:
    """Take back the run that lies ahead. With `forget` the object is gone, and nothing is known of its runs any more.

    One that is `optional` may fail in silence.
    """

    queue: QueueRef
    uid: str
    forget: bool = False
    optional: bool = False


@dataclass(frozen=True)
class RemoveJob:
    """Take a job out of its queue unless a worker runs it."""

    queue: QueueRef
    job_id: str


ClaimAction = Claim | KeepClaim | GiveUpClaim
RunAction = AddRun | TakeBackRun | RemoveJob
DrainAction = Drain | Undrain | Mark | Unmark
QueueAction = Follow | Attend | Unfollow | Pause | WriteSettings | Sweep | HandBack
Action = ClaimAction | QueueAction | DrainAction | Shield | Apply | Remove | WriteStatus | RunAction | Note
