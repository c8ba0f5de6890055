"""How much the write of a status matters."""

from __future__ import annotations

from enum import IntEnum


class Urgency(IntEnum):
    """The smaller the more."""

    #: What was done can't be undone, and others go by what is told of it: they wait.
    NOW = 0
    #: Readiness, replicas, faults, decisions.
    MATERIAL = 1
    NUMBERS = 2
