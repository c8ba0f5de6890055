"""How long to wait before an attempt is made again: BullMQ's formulas, so that both sides agree."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from crewline.errors import InvalidOption
from crewline.wire.checks import check_seconds, check_text, check_truth, is_number


@dataclass(frozen=True)
class Backoff:
    """The wait between attempts.

    Args:
        type: ``exponential``: ``delay * 2^(n-1)`` before attempt n+1; ``fixed``: always ``delay``.
        delay: seconds, 0 or more.
        jitter: 0..1, the share of the wait that is random. It keeps jobs that failed together from
            coming back together. None: 0.5 if exponential; a fixed wait is just that long.
        custom: ``type`` names a function of the worker's (see `named`).
    """

    type: str = "exponential"
    delay: float = 1.0
    jitter: float | None = None
    custom: bool = False

    def __post_init__(self) -> None:
        check_truth(self.custom, "backoff custom")
        if self.jitter is None:
            object.__setattr__(self, "jitter", 0.5 if self.type == "exponential" else 0)
        if not self.custom and self.type not in ("exponential", "fixed"):
            raise InvalidOption(
                f"backoff type {self.type!r} is unknown: use 'exponential' or 'fixed', or Backoff.named for your own"
            )
        if self.custom:
            check_text(self.type, "backoff type", "name a function of the worker's")
        object.__setattr__(self, "delay", check_seconds(self.delay, "backoff delay"))
        if not is_number(self.jitter) or not 0 <= self.jitter <= 1:
            raise InvalidOption(f"backoff jitter {self.jitter!r} must be between 0 and 1")

    @classmethod
    def named(cls, name: str, delay: float = 0.0) -> Backoff:
        """The wait that the worker's own function ``name`` says; see `Worker`'s ``backoffs``."""
        return cls(name, delay, 0, custom=True)

    def to_wire(self) -> dict[str, Any]:
        """As BullMQ's ``opts.backoff``; its delay is in milliseconds."""
        wire: dict[str, Any] = {"type": self.type, "delay": round(self.delay * 1000)}
        if self.jitter:
            wire["jitter"] = self.jitter
        return wire


#: What `Queue.add` uses when nothing is said.
DEFAULT_BACKOFF = Backoff()

#: No wait is longer than this: 30 days in milliseconds. 2^n outgrows every clock otherwise.
MAX_DELAY_MS = 30 * 24 * 3600 * 1000


def delay_ms(backoff: Any, attempts_made: int, rand: random.Random | None = None) -> int:
    """The wait after the attempt number ``attempts_made``, in milliseconds.

    Args:
        backoff: ``opts.backoff`` off the wire: a number (fixed milliseconds), an object, or None for no wait.
            What can't be understood counts as none: a foreign client may write anything there.
        attempts_made: how many attempts were made, this one included; 1 or more.
        rand: the source of the jitter; the module's own if None.

    Source: BullMQ, "Retrying failing jobs": exponential ``round(2^(n-1) * delay)``, jitter j:
    ``floor(random * wait * j + wait * (1 - j))``.
    """
    if isinstance(backoff, int | float) and not isinstance(backoff, bool):
        backoff = {"type": "fixed", "delay": backoff}
    if not isinstance(backoff, dict):
        return 0
    base = backoff.get("delay")
    if not isinstance(base, int | float) or isinstance(base, bool) or not base > 0:
        return 0
    # JSON's 1e999 is infinite, and its integers have no end
    wait = float(min(base, MAX_DELAY_MS))
    if backoff.get("type") == "exponential":
        wait = min(wait * 2.0 ** min(attempts_made - 1, 60), MAX_DELAY_MS)
    wait = min(round(wait), MAX_DELAY_MS)
    jitter = backoff.get("jitter")
    if isinstance(jitter, int | float) and 0 < jitter <= 1:
        wait = int((rand or random).random() * wait * jitter + wait * (1 - jitter))
    return int(wait)
