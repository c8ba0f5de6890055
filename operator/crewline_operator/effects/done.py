"""What was done to an object last, for the next plan of it to know."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from crewline_operator.model.fault import Fault
from crewline_operator.model.owner import Owner
from crewline_operator.model.queue_ref import QueueRef


@dataclass(frozen=True)
class Applied:
    """A manifest that was applied."""

    digest: str
    #: Of the object after that (kube/fingerprint.py): another one means that somebody else has changed it since.
    fingerprint: str


@dataclass(frozen=True)
class Claimed:
    """A queue that the object has, as far as this process knows."""

    queue: QueueRef
    owner: Owner
    #: The Redis, as it may be shown.
    shown: str
    #: When the claim was made or renewed last, by the monotonic clock.
    renewed: float


@dataclass(frozen=True)
class Denied:
    """Why something was not taken, by Redis or the API server, and when, by the monotonic clock."""

    fault: Fault
    at: float


@dataclass(frozen=True)
class PauseDenied:
    """A pause, or a resume, that Redis did not take, and when, by the monotonic clock."""

    paused: bool
    fault: Fault
    at: float


@dataclass
class Done:
    """Lost with the process, which costs a few calls and no wrong decision."""

    #: By the kind of the child.
    applied: dict[str, Applied] = field(default_factory=dict)
    #: By the monotonic clock; None if this process has not written it yet.
    status_written: float | None = None
    #: When the API server did not take it last, by the monotonic clock; None once it has.
    status_refused: float | None = None
    claimed: Claimed | None = None
    #: When its queue was swept last, by the monotonic clock.
    swept: float | None = None
    #: Since when this process knows the object, by the monotonic clock.
    known: float | None = None
    #: The last pause or resume that was asked for, if it was not taken.
    pause_denied: PauseDenied | None = None
    #: ... and the last request to drain, or to drain no more.
    drain_denied: Denied | None = None
    #: ... and the last write of settings and limits.
    settings_denied: Denied | None = None
    #: ... and the last pod of a larger worker, which the API server did not take.
    larger_denied: Denied | None = None
    #: How many plans in a row were for another state of things than there was.
    changed: int = 0

    def status_age_seconds(self, now: float) -> float:
        """How long ago this process wrote the status; inf if it has not."""
        return math.inf if self.status_written is None else now - self.status_written

    def sweep_age_seconds(self, now: float) -> float:
        """How long ago this process swept its queue; inf if it has not."""
        return math.inf if self.swept is None else now - self.swept

    def known_seconds(self, now: float) -> float:
        """For how long this process has known it."""
        return 0.0 if self.known is None else now - self.known
