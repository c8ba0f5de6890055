"""What a plan for the dead workers of a pod is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crewline_operator.deaths.causes import Death


@dataclass(frozen=True)
class Seen:
    """A death, and how many seconds ago it was seen, by the monotonic clock, when the workers were asked for."""

    death: Death
    age_seconds: float


@dataclass(frozen=True)
class Observed:
    """The deaths that a pod tells of and that are not dealt with, and what workers of its queue tell of themselves."""

    #: Those of a place in a pod, the earlier ones first.
    deaths: Sequence[Seen]
    #: What the queue's registry has of their pods, as `Queue.workers` gives it: anybody may have put there what it is.
    workers: Sequence[Mapping[str, Any]]
