"""What Redis keeps of the runs of each ScheduledJob that adds to a queue: what the engine's add_run has written."""

from __future__ import annotations

import json
from dataclasses import dataclass

from crewline.wire.keys import Keys
from crewline.wire.text import text

from crewline_operator.model.moments import moment_ms
from crewline_operator.model.owner import Owner

#: Bytes of a mark, which names a ScheduledJob and some moments, and of the uid under which it is.
MARK_MAX_BYTES = 1024
UID_MAX_BYTES = 64


def marks_key(prefix: str, queue: str) -> str:
    """Where they are: a hash by the uid of the ScheduledJob."""
    return Keys(prefix, queue).extra("runs")


@dataclass(frozen=True)
class Mark:
    """What is decided of one ScheduledJob's runs. Times are epoch milliseconds."""

    owner: Owner
    #: No run up to then is added any more; 0 if there was none.
    decided_ms: int
    #: The run that lay ahead when it was added, and what its job was made from.
    ahead_ms: int | None = None
    digest: str | None = None
    #: A run that lay ahead and left before its time: somebody let it run, or deleted it.
    begun_ms: int | None = None

    def knows(self, run_ms: int) -> bool:
        """Whether Redis has had the job of a run."""
        return run_ms <= self.decided_ms or run_ms in (self.ahead_ms, self.begun_ms)


def read_mark(uid: str | bytes, stored: bytes | None) -> Mark | None:
    """A mark as it is stored; None if there is none that can be read."""
    if stored is None or len(stored) > MARK_MAX_BYTES or len(uid) > UID_MAX_BYTES:
        return None
    try:
        told = json.loads(stored)
        owner = Owner(str(told["cluster"]), str(told["namespace"]), str(told["name"]), text(uid))
        digest = told.get("job")
        return Mark(
            owner=owner,
            decided_ms=_time(told["decided"]) or 0,
            ahead_ms=_time(told.get("ahead")),
            digest=str(digest) if digest else None,
            begun_ms=_time(told.get("begun")),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _time(told: object) -> int | None:
    """Epoch milliseconds of a calendar's time; raises ValueError or TypeError for what is none."""
    if not told:
        return None
    time_ms = int(str(told))
    moment_ms(time_ms)
    return time_ms
