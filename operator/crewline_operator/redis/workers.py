"""Reads what workers tell of themselves: once a scale-in needs it, and not with what is read of all queues."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

from crewline.queue.queue import Queue
from crewline.wire.drains import drain_key
from crewline.wire.text import text

from crewline_operator.model.worker import Worker
from crewline_operator.redis.bounded import read_strings
from crewline_operator.redis.registry import read_entries

#: Bytes of a request's token, which are 32.
TOKEN_MAX_BYTES = 256


async def read_workers(queue: Queue, ids: Collection[str]) -> dict[str, Worker]:
    """The workers with these ids. Raises what redis-py raises.

    The requests are read first: a worker that has no entry in what is read after them hears of its request before it
    fetches anything.
    """
    keys = {queue.keys.extra(drain_key(each)): each for each in ids}
    asked = {keys[key]: text(token) async for key, token in read_strings(queue.redis, list(keys), TOKEN_MAX_BYTES)}
    entries: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in await read_entries(queue, ids):
        entries[str(entry.get("id"))].append(entry)
    return {each: _worker(asked.get(each, ""), entries.get(each, [])) for each in ids}


def _worker(asked: str, entries: list[Mapping[str, Any]]) -> Worker:
    return Worker(
        asked=asked,
        # A release that knows of no requests tells of itself, too, but not what is asked here.
        known=bool(entries) and all("drain" in entry for entry in entries),
        follows=bool(entries) and all(entry.get("drain") == asked != "" for entry in entries),
        busy=sum(_count(entry, "busy") for entry in entries),
        held=sum(_count(entry, "held") for entry in entries),
        settings=_settings(entries),
        stopping=bool(entries) and all(bool(entry.get("stopping")) for entry in entries),
    )


def _settings(entries: list[Mapping[str, Any]]) -> int | None:
    """The generation that all of them follow, and can use, 0 for none; None if there is no such one."""
    told = [None if entry.get("refused") else entry.get("settings") for entry in entries] or [0]
    return told[0] if all(each == told[0] for each in told) and isinstance(told[0], int) else None


def _count(entry: Mapping[str, Any], name: str) -> int:
    """A number that an entry tells; one that tells none counts as busy."""
    told = entry.get(name)
    return told if isinstance(told, int) else 1
