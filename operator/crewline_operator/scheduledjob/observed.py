"""What a plan for a ScheduledJob is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crewline_operator.model.fault import Fault
from crewline_operator.model.marks import Mark
from crewline_operator.model.owner import Owner
from crewline_operator.model.queue_ref import QueueRef

UNFINISHED = ("waiting", "active", "delayed", "waiting-children")


@dataclass(frozen=True)
class RunState:
    """A run's job in Redis. `state` is "unknown" if there is no such job."""

    state: str
    finished_ms: int | None = None
    reason: str | None = None

    @property
    def unfinished(self) -> bool:
        return self.state in UNFINISHED


@dataclass(frozen=True)
class Placed:
    """Where Redis knows of runs, the next one among them, which is there ahead of its time."""

    queue: QueueRef
    uid: str


@dataclass(frozen=True)
class Runs:
    """Runs as they are in Redis: the placed one and those that had not ended when they were last looked at."""

    queue: QueueRef
    #: Redis' clock: the one that delayed jobs become due by.
    now: datetime
    states: Mapping[str, RunState] = field(default_factory=dict)
    #: What Redis says is decided; the status may say less, if it could not be written.
    mark: Mark | None = None


@dataclass(frozen=True)
class Observed:
    """All that a plan is made from, besides the ScheduledJob itself."""

    #: The operator's wall clock, which may be wrong: for moments that are told, and for nothing that is decided.
    now: datetime
    #: The ScheduledJob, as Redis is told of it.
    me: Owner
    #: Why they are not known, if there is no such queue, or its Redis does not answer.
    runs: Runs | Fault
    status: Mapping[str, Any] = field(default_factory=dict)
    #: The queue in which the placed run is, if that is another one: spec.queueRef was changed.
    earlier_queue: QueueRef | None = None
    placed: Placed | None = None
    #: How long ago this process wrote the status.
    status_age_seconds: float = math.inf
    #: What was said to the actions that were just tried, if they were not taken.
    refusal: Fault | None = None
