"""A queue's event stream: what happened, in order, resumable from any entry's id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from crewline.redis.connection import UNAVAILABLE, cancelled, connect_blocking
from crewline.wire.keys import Keys
from crewline.wire.text import text

#: Milliseconds that one read blocks; the watchdog gives it as much again before it replaces the connection.
BLOCK_MS = 5000


@dataclass(frozen=True)
class Event:
    """One entry of the stream.

    Attributes:
        id: the entry's id; hand it to `Queue.events` to go on after it.
        name: ``added``, ``waiting``, ``active``, ``progress``, ``completed``, ``failed``, ``delayed``, ``stalled``,
            ``removed``, ``drained``, ``paused``, ``resumed``, ``duplicated``, …
        job_id: the job's id; '' for events of the whole queue.
        fields: the entry's other fields, as text (``returnvalue`` and ``data`` are JSON texts).
    """

    id: str
    name: str
    job_id: str = ""
    fields: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Update:
    """What `Job.watch` yields: the job's state and its progress now."""

    state: str
    progress: Any


async def last_event_id(redis: Redis, keys: Keys) -> str:
    """The newest entry's id; ``0-0`` for an empty stream. Reading on from it misses nothing, as ``$`` would."""
    entries = await redis.xrevrange(keys.events, count=1)
    return text(entries[0][0]) if entries else "0-0"


async def follow(url: str, keys: Keys, after: str, client_name: str = "crewline-events") -> AsyncIterator[Event]:
    """Yields every event after the id ``after``, for ever; reconnects, and goes on where it was."""
    backoff_seconds = 0.1
    while not cancelled():
        redis = connect_blocking(url, client_name)
        try:
            while not cancelled():
                # the watchdog: a link that died without a reset never answers a blocked read
                async with asyncio.timeout(BLOCK_MS / 1000 * 2):
                    reply: Any = await redis.xread({keys.events: after}, block=BLOCK_MS, count=500)
                backoff_seconds = 0.1
                if not reply:
                    continue
                entries = reply[0][1] if isinstance(reply, list) else next(iter(reply.values()))[0]
                for entry_id, raw in entries:
                    after = text(entry_id)
                    fields = {text(key): text(value) for key, value in raw.items()}
                    yield Event(after, fields.pop("event", ""), fields.pop("jobId", ""), fields)
        except UNAVAILABLE:
            await asyncio.sleep(backoff_seconds)
            backoff_seconds = min(backoff_seconds * 2, 5.0)
        finally:
            await redis.aclose()
