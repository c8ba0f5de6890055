"""How closely a queue is looked at."""

from __future__ import annotations

from enum import Enum


class Attention(Enum):
    """What decides how soon a queue is read again."""

    #: There are jobs, and workers that come or go.
    CLOSE = "close"
    STEADY = "steady"
    #: Without workers: what is added wakes it, and there is nothing else to see.
    ASLEEP = "asleep"
