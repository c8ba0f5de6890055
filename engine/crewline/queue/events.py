"""A queue's event stream: what happened, in order, resumable from any entry's id."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, NoPermissionError, ResponseError

from crewline.errors import InvalidOption
from crewline.queue.portions import READ_FIRST, next_count
from crewline.redis.connection import UNAVAILABLE, cancelled, connect, is_wrong_type
from crewline.wire.keys import Keys
from crewline.wire.text import text

#: Milliseconds that one read blocks; the watchdog gives it as much again before it replaces the connection.
BLOCK_MS = 5000

#: Entries that one read takes at most; who has read as many and not come to the end is far behind.
READ_COUNT = 500


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


def check_event_id(value: object) -> str:
    """Returns the id of an entry of a stream, else raises InvalidOption."""
    found = isinstance(value, str) and re.fullmatch(r"([0-9]{1,20})(?:-([0-9]{1,20}))?", value)
    if not found or any(int(part or 0) >= 1 << 64 for part in found.groups()):
        raise InvalidOption(f"event id {value!r} is none: use one that an event had, or '0' for all that is kept")
    return found[0]


async def last_event_id(redis: Redis, keys: Keys) -> str:
    """The newest entry's id; ``0-0`` for an empty stream. Reading on from it misses nothing, as ``$`` would."""
    entries = await redis.xrevrange(keys.events, count=1)
    return text(entries[0][0]) if entries else "0-0"


async def follow(url: str, keys: Keys, after: str) -> AsyncGenerator[Event]:
    """Yields every event after the id ``after``, for ever; reconnects, and goes on where it was."""
    async with contextlib.aclosing(follow_batches(url, keys, after)) as batches:
        async for batch in batches:
            for event in batch.events:
                yield event


class Batch(NamedTuple):
    """What one read brought.

    Attributes:
        events: in order; none where a read had blocked for its time.
        whole: False if events before these may have been lost: the connection broke, or the reader was so far behind
            that the stream's length may have cut them off.
    """

    events: list[Event]
    whole: bool


async def follow_batches(url: str, keys: Keys, after: str) -> AsyncGenerator[Batch]:
    """As `follow`, a read at a time; one that brings nothing is told as well, every `BLOCK_MS`."""
    backoff_seconds = 0.1
    whole = True
    count, behind = READ_FIRST, 0
    while not cancelled():
        redis = connect(url, called="crewline-events", socket_timeout=None, max_connections=1)
        try:
            while not cancelled():
                # the first read on a new connection answers at once: whoever waits must not wait for the next event
                block = {"block": BLOCK_MS} if whole else {}
                # the watchdog: a link that died without a reset never answers a blocked read
                async with asyncio.timeout(BLOCK_MS / 1000 * 2):
                    reply: Any = await redis.xread({keys.events: after}, count=count, **block)
                backoff_seconds = 0.1
                entries = (reply[0][1] if isinstance(reply, list) else next(iter(reply.values()))[0]) if reply else ()
                events = [event_of(entry_id, raw) for entry_id, raw in entries]
                after = events[-1].id if events else after
                yield Batch(events, whole)
                if not events and whole and await _is_left_behind(redis):
                    raise ConnectionError("this Redis is a replica that has lost its master")
                behind = behind + len(events) if len(events) == count else 0
                count = next_count(count, [size_of(raw) for _, raw in entries], READ_COUNT)
                whole = behind < READ_COUNT
                if not whole:
                    behind = 0
        except UNAVAILABLE as error:
            if isinstance(error, NoPermissionError | AuthenticationError) or is_wrong_type(error):
                # it would be refused for ever
                raise
            whole = False
            await asyncio.sleep(backoff_seconds)
            backoff_seconds = min(backoff_seconds * 2, 5.0)
        finally:
            await redis.aclose()


async def _is_left_behind(redis: Redis) -> bool:
    """Whether nothing will ever be told here: a failover has made this server a replica, which is cut off.

    No answer to a read says so, and another server may stand behind its address.
    """
    if not isinstance(redis, Redis):
        return False  # a cluster's client, which looks for its nodes itself
    try:
        async with asyncio.timeout(BLOCK_MS / 1000):
            told = await redis.info("replication")
    except ResponseError:
        return False  # the user may not ask
    return told.get("role") == "slave" and told.get("master_link_status") != "up"


def size_of(raw: Mapping[Any, Any]) -> int:
    """Bytes of an entry's fields."""
    return sum(len(name) + len(value) for name, value in raw.items())


def event_of(entry_id: Any, raw: Mapping[Any, Any]) -> Event:
    """An entry of the stream."""
    fields = {text(key): text(value) for key, value in raw.items()}
    return Event(text(entry_id), fields.pop("event", ""), fields.pop("jobId", ""), fields)
