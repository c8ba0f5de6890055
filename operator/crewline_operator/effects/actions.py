"""All that a plan can ask for. An action says what is to be so, not how, and can be asked for again without harm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crewline_operator.model.note import Note
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.model.urgency import Urgency
from crewline_operator.redis.claims import Claim
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.reading import Target

#: Why a job was refused that no queue would take: the object that names it has to be changed.
INVALID_JOB = "InvalidJob"


@dataclass(frozen=True)
class MakeClaim:
    """Have the object counted among those that want a queue. JobQueues that want the same one are looked at again."""

    claim: Claim


@dataclass(frozen=True)
class DropClaim:
    """The object wants no queue any more; whoever wants the same one is looked at again."""


@dataclass(frozen=True)
class Follow:
    """Have a queue read with the others of its Redis; what is read comes with the next observation."""

    endpoint: Endpoint
    target: Target


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
class AddJob:
    """Add a job. `options` are those of `Queue.add`, a job id among them, so that it is added once."""

    queue: QueueRef
    name: str
    data: Mapping[str, Any]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class RemoveJob:
    """Take a job out of its queue unless a worker runs it. One that is `optional` may fail in silence."""

    queue: QueueRef
    job_id: str
    optional: bool = False


Action = MakeClaim | DropClaim | Follow | Unfollow | Apply | WriteStatus | Pause | AddJob | RemoveJob | Note
