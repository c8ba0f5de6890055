"""A schedule as it stands in Redis, and what tells its jobs apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from crewline.queue.store import NO_OPTS, Store
from crewline.wire import jsonio
from crewline.wire.text import text

#: A due time beyond which any is as good as never, in milliseconds: scripts take none beyond it.
MOST_MS = 10**15


@dataclass(frozen=True)
class Schedule:
    """A repeated job.

    Attributes:
        id: the schedule's own id.
        name, data: what each of its jobs is added with.
        cron, time_zone: its expression, or None and every_ms.
        every_ms: milliseconds between iterations, or None.
        start_ms, end_ms, limit: when it begins and ends, and how many iterations it makes; None for no bound.
        next_ms: when the next iteration is due, or the last was where it is used up; epoch milliseconds.
        iterations: how many were placed.
        opts: the options of each of its jobs, as BullMQ writes them.
    """

    id: str
    name: str
    data: Any
    cron: str | None
    every_ms: int | None
    time_zone: str
    start_ms: int | None
    end_ms: int | None
    limit: int | None
    next_ms: int
    iterations: int
    opts: Mapping[str, Any] = field(default_factory=lambda: NO_OPTS)


def whole_ms(score: float) -> int:
    """A due time in whole milliseconds; a foreign client may write an infinite one."""
    return int(min(max(score, -MOST_MS), MOST_MS))


def iteration_id(schedule_id: str, due_ms: int) -> str:
    """The id of a schedule's job that is due then."""
    return f"repeat:{schedule_id}:{due_ms}"


def stored_schedule(
    queue: Store, schedule_id: str, next_ms: int, raw: Mapping[bytes | str, bytes | str]
) -> Schedule | None:
    """A schedule from its hash; None if that is none of a scheduler."""
    stored = {text(key): text(value) for key, value in raw.items()}
    # only a scheduler has an iteration count; what BullMQ 4 and older left is none
    if "ic" not in stored:
        return None

    def number(field: str) -> int | None:
        try:
            return int(float(stored[field]))
        except (KeyError, ValueError, OverflowError):
            return None

    try:
        data = jsonio.loads(stored.get("data", "{}"), "data")
    except ValueError:
        data = None
    return Schedule(
        id=schedule_id, name=stored.get("name", ""), data=data, cron=stored.get("pattern"),
        every_ms=number("every"), time_zone=stored.get("tz") or "UTC", start_ms=number("startDate"),
        end_ms=number("endDate"), limit=number("limit"), next_ms=next_ms, iterations=number("ic") or 0,
        opts=queue.decode_opts(stored.get("opts")),
    )  # fmt: skip
