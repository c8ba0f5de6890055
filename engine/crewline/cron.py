"""When a cron expression is due, in a time zone and across changes of summer time.

A wall time that a change skips runs once, after the gap; one that is repeated runs once (cronsim's rules, Debian's).
"""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from crewline.errors import InvalidOption


def check_zone(zone: str) -> ZoneInfo:
    """The time zone of that name, else InvalidOption."""
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidOption(f"time zone {zone!r} is unknown: use an IANA name such as Europe/Berlin") from None


def next_cron_ms(expression: str, zone: str, after_ms: int) -> int | None:
    """The first time after ``after_ms`` (epoch milliseconds) at which ``expression`` is due; None if never again.

    Args:
        expression: 5 fields, or 6 with seconds first.
        zone: an IANA time zone.

    Raises:
        InvalidOption: the expression or the zone can't be used.
    """
    tz = check_zone(zone)
    try:
        found = next(CronSim(expression, datetime.datetime.fromtimestamp(after_ms / 1000, tz)), None)
    except CronSimError as error:
        raise InvalidOption(
            f"cron {expression!r} can't be used: {error}; write minute hour day month weekday, e.g. '*/5 * * * *'"
        ) from None
    return None if found is None else round(found.timestamp() * 1000)
