"""Since when a job waits, read off its hash: what any BullMQ client may have written, so nothing here raises. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence

from crewline.wire.checks import is_number


def waiting_since(fields: Sequence[bytes | None], now_ms: int) -> int | None:
    """When a job that waits could first run, in epoch ms: when it was added, or its delay was over.

    One that was started before waits since then at the earliest; when its retry was due is told nowhere. A time that
    lies ahead is that of a job which somebody let run before it.

    Args:
        fields: its `timestamp`, `opts`, `due` and `processedOn`.
        now_ms: Redis' clock.
    """
    added, opts, due, started = fields
    added_ms = integer(added)
    if added_ms is None:
        return None
    times = [added_ms + _delay_ms(opts), integer(due), integer(started)]
    return max([added_ms, *(time for time in times if time is not None and time <= now_ms)])


def integer(value: bytes | None) -> int | None:
    """A number off the wire."""
    try:
        return int(float(value)) if value else None
    except (ValueError, OverflowError):
        return None


def _delay_ms(opts: bytes | None) -> int:
    try:
        told = json.loads(opts or b"{}")
    except (ValueError, RecursionError):
        return 0
    delay = told.get("delay") if isinstance(told, dict) else None
    return int(delay) if is_number(delay) and abs(delay) < 1e15 else 0
