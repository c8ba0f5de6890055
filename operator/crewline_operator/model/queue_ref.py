"""Which queue in Redis."""

from __future__ import annotations

from dataclasses import dataclass

from crewline_operator.model.key import Key


@dataclass(frozen=True)
class QueueRef:
    """A queue in the Redis of the JobQueue `jobqueue`, reached by the connection that this one is read by."""

    jobqueue: Key
    prefix: str
    queue: str
