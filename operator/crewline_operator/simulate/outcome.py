"""What came of a load that was played: what is counted and drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Run(NamedTuple):
    """A job's: when it came, and how long it waited."""

    came: float
    waited: float


class Look(NamedTuple):
    """What there was at a moment."""

    time: float
    wanted: int
    #: Pods that run, those that start or end among them.
    pods: int
    active: int
    waiting: int


class Scaled(NamedTuple):
    """A change of the number of replicas."""

    time: float
    before: int
    to: int
    reason: str


@dataclass
class Outcome:
    """What came of a load."""

    runs: list[Run] = field(default_factory=list)
    #: One for each read at which something was another than before.
    looks: list[Look] = field(default_factory=list)
    scalings: list[Scaled] = field(default_factory=list)
    #: Times with pods, of all pods.
    replica_seconds: float = 0.0
    #: Times that jobs ran, of all jobs.
    busy_seconds: float = 0.0
    ended: float = 0.0
    #: Jobs that no worker took.
    left: int = 0
