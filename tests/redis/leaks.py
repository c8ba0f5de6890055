"""Whose is each key that a test leaves in Redis? One that nobody owns stays for ever, and nobody sees it.

A key is in order if it has a time to live, or is one of a queue's own, or if what it belongs to is there: a job's hash
needs a state that holds its id, a key of a job needs the job, and so on; `_unowned` has the rules.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from redis import Redis

#: Where jobs are, as types that hold their ids.
LISTS = ("wait", "active", "paused")
SETS = ("prioritized", "delayed", "completed", "failed", "waiting-children")
#: A queue's own keys, which last as long as the queue does. `limiter` and `stalled-check` need a time to live.
OWN = {
    *LISTS, *SETS, "id", "marker", "meta", "events", "stalled", "pc", "repeat",
    "metrics:completed", "metrics:completed:data", "metrics:failed", "metrics:failed:data",
}  # fmt: skip
#: What a job may have beside its hash.
PARTS = ("lock", "logs", "dependencies", "processed", "failed", "unsuccessful")
#: Our additions that have no time to live, and why.
LASTING = {
    "settings": "until somebody removes them, or obliterates the queue",
    "runs": "until what schedules them is gone, or the queue is obliterated",
}


@dataclass
class Queue:
    """What Redis has of one queue."""

    base: str
    suffixes: list[str] = field(default_factory=list)
    jobs: set[str] = field(default_factory=set)
    schedules: set[str] = field(default_factory=set)


def leaks(client: Redis) -> list[str]:
    """All keys that nobody will ever delete, each with the reason why not; times to live are not waited for."""
    queues: dict[str, Queue] = {}
    found: dict[str, list[str]] = defaultdict(list)
    for key in sorted(_text(key) for key in client.keys("*")):
        prefix, _, rest = key.partition(":")
        name, _, suffix = rest.partition(":")
        if client.ttl(_bytes(key)) != -1:
            continue
        if prefix == "bull-crewline":
            if suffix not in LASTING:
                found[key].append("one of our additions without a time to live")
        elif prefix in ("bull", "{bull}") and suffix:
            queue = queues.setdefault(f"{prefix}:{name}:", Queue(f"{prefix}:{name}:"))
            queue.suffixes.append(suffix)
        else:
            found[key].append("under no queue")
    for queue in queues.values():
        _read(client, queue)
        for suffix in queue.suffixes:
            if why := _unowned(client, queue, suffix):
                found[queue.base + suffix].append(why)
        for job_id in sorted(queue.jobs):
            if not client.exists(_bytes(queue.base + job_id)):
                found[queue.base + job_id].append("a state holds this id, and there is no such job")
    return [f"{key}: {why}" for key, reasons in found.items() for why in reasons]


def _read(client: Redis, queue: Queue) -> None:
    for name in LISTS:
        queue.jobs.update(_text(job_id) for job_id in client.lrange(queue.base + name, 0, -1))
    for name in SETS:
        queue.jobs.update(_text(job_id) for job_id in client.zrange(queue.base + name, 0, -1))
    queue.schedules.update(_text(schedule) for schedule in client.zrange(queue.base + "repeat", 0, -1))


def _unowned(client: Redis, queue: Queue, suffix: str) -> str:
    """Why nobody owns this key of a queue, which has no time to live; '' if somebody does."""
    if suffix in OWN or suffix in queue.jobs:
        return ""
    family, _, name = suffix.partition(":")
    if family == "repeat" and name in queue.schedules:
        return ""
    if family == "de" and name:
        holder = _text(client.get(_bytes(queue.base + suffix)) or b"")
        return "" if client.exists(_bytes(queue.base + holder)) else f"job {holder}, which holds it, is gone"
    if family == "dn" and name:
        held = client.exists(_bytes(f"{queue.base}de:{name}"))
        return "" if held else "nobody holds this deduplication id, so that the job it keeps is never added"
    owner, _, part = suffix.rpartition(":")
    if owner and part in PARTS:
        if part == "lock":
            return "a lease without an end"
        return "" if client.exists(_bytes(queue.base + owner)) else f"job {owner} is gone"
    if family == "repeat":
        return "neither a schedule's nor a job in any state"
    return "a job in no state"


def _text(raw: bytes) -> str:
    return raw.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
