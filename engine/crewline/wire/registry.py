"""The registry of a queue's workers: who is alive, and what each tells of itself.

``<prefix>-crewline:<queue>:workers`` is a sorted set of names by when each counts as gone, in Redis' epoch
milliseconds; ``<prefix>-crewline:<queue>:worker:<name>`` is what it tells, as JSON, and expires then.
"""

from __future__ import annotations

REGISTRY_KEY = "workers"
#: Milliseconds after which a worker that is silent is gone.
TTL_MS = 15_000


def entry_key(name: str) -> str:
    """Where a worker tells of itself, after the queue's own part of the key."""
    return f"worker:{name}"
