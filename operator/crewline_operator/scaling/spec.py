"""What spec.scaling asks for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ScalingSpec:
    """How many workers there are, and when."""

    mode: str
    min_replicas: int
    max_replicas: int
    jobs_per_replica: int
    idle_seconds: int
    #: spec.replicas, which counts in mode external only.
    replicas: int | None
