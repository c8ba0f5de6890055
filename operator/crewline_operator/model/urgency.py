"""How much the write of a status matters."""

from __future__ import annotations

from enum import IntEnum


class Urgency(IntEnum):
    """The smaller the more."""

    #: Readiness, replicas, faults, decisions.
    MATERIAL = 0
    NUMBERS = 1
