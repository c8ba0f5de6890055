"""What a plan for a ScheduledJob is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from crewline_operator.model.fault import Fault
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
    """The next run, which is in Redis ahead of its time."""

    queue: QueueRef
    job_id: str


@dataclass(frozen=True)
class Runs:
    """Runs as they are in Redis: the placed one and those that had not ended when they were last looked at."""

    queue: QueueRef
    #: Redis' clock: the one that delayed jobs become due by.
    now: datetime
    states: Mapping[str, RunState] = field(default_factory=dict)


@dataclass(frozen=True)
class Observed:
    """All that a plan is made from, besides the ScheduledJob itself."""

    now: datetime
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
