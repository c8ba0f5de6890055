"""All the faults, by the name that the command line takes."""

from __future__ import annotations

from tests.chaos.faults.base import Fault
from tests.chaos.faults.clocks import ClocksSkewed
from tests.chaos.faults.hogs import InterpreterHeld, LoopBlocked
from tests.chaos.faults.links import BlackHole, LateDelivery, Latency, ReplyCut, RequestCut, Reset
from tests.chaos.faults.outages import LongOutage, PowerLost, RedisKilled, WritesRefused
from tests.chaos.faults.workers import Drain, HandBack, Kill, Poison, Stop

__all__ = ["FAULTS", "Fault"]

FAULTS: dict[str, Fault] = {
    "sigkill": Kill(),
    "sigterm": Drain(),
    "sigterm-no-grace": HandBack(),
    "sigstop": Stop(),
    "redis-always": RedisKilled(),
    "redis-away": LongOutage(),
    "redis-everysec": PowerLost(),
    "redis-readonly": WritesRefused(),
    "cut-request": RequestCut(),
    "cut-reply": ReplyCut(),
    "reset": Reset(),
    "latency": Latency(),
    "black-hole": BlackHole(),
    "late": LateDelivery(),
    "loop-blocked": LoopBlocked(),
    "gil-held": InterpreterHeld(),
    "clock-skew": ClocksSkewed(),
    "poison": Poison(),
}
