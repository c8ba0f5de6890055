"""What spec.scaling asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Crewline decides from the demand; or spec.replicas does, which others write.
OPERATOR, EXTERNAL = "Operator", "External"
MODES = (OPERATOR, EXTERNAL)


@dataclass(frozen=True)
class JobsPerReplica:
    """One worker for so many jobs."""

    jobs: int

    def __str__(self) -> str:
        return f"{self.jobs} jobs per replica"


@dataclass(frozen=True)
class LatencyObjective:
    """As many workers as let no job wait longer."""

    seconds: int

    def __str__(self) -> str:
        return f"no wait over {self.seconds} s"


@dataclass(frozen=True)
class Utilization:
    """As many workers as have so much of their slots busy."""

    percent: int

    def __str__(self) -> str:
        return f"{self.percent} % of the slots busy"


Target = JobsPerReplica | LatencyObjective | Utilization


@dataclass(frozen=True)
class Behavior:
    """How far a decision looks back (docs/scaling.md)."""

    #: Down only to the highest number that was wanted in this time.
    stable_seconds: float = 60.0
    #: So long nothing goes down after a doubling, so long lies between two steps down, and over so long a burst is
    #: measured.
    panic_seconds: float = 6.0


@dataclass(frozen=True)
class Fallback:
    """How many workers there are at least when the demand could not be read for so long."""

    after_seconds: int
    replicas: int


@dataclass(frozen=True)
class ScalingSpec:
    """How many workers there are, and when."""

    mode: str
    min_replicas: int
    max_replicas: int
    target: Target
    #: spec.worker.concurrency: the slots of a worker.
    concurrency: int
    idle_seconds: int
    #: spec.replicas, which counts in mode External only.
    replicas: int | None
    behavior: Behavior = field(default_factory=Behavior)
    fallback: Fallback | None = None
    #: Nothing is changed.
    hold: bool = False
