"""Requests to drain: a worker that is asked to fetches nothing more, so that it can be ended without a job.

Each is one key a worker, ``<prefix>-crewline:<queue>:drain:<id of the worker>``, and its value the request's token. The
worker reads it with each beat and says in the registry which request it follows: an answer to an earlier request is
none to this one. The key has a time to live, so that nobody stays drained whose asker has died.
"""

from __future__ import annotations

#: Seconds that a request holds unless it is made again: longer than another operator takes to take over.
DRAIN_SECONDS = 30.0


def drain_key(worker_id: str) -> str:
    """Where a worker is asked, after the queue's own part of the key."""
    return f"drain:{worker_id}"
