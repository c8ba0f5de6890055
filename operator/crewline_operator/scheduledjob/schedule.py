"""A ScheduledJob's schedule: the engine's cron, with errors that name the object's fields."""

from __future__ import annotations

from crewline.errors import InvalidOption
from crewline.wire.cron import COUNT_MAX, Cron, Missed, check_zone

__all__ = ["COUNT_MAX", "InvalidSchedule", "Missed", "Schedule"]


class InvalidSchedule(Exception):
    """An expression or time zone that can't be used; the message names the field and the mend."""


class Schedule(Cron):
    """A cron expression in a time zone. All results are in UTC."""

    def __init__(self, expression: str, time_zone: str) -> None:
        try:
            check_zone(time_zone)
        except InvalidOption as error:
            raise InvalidSchedule(
                f"spec.timeZone: the operator knows no time zone {time_zone!r}: write it as in Europe/Berlin"
            ) from error
        try:
            super().__init__(expression, time_zone)
        except InvalidOption as error:
            raise InvalidSchedule(
                f"spec.schedule {expression!r}: {error.__cause__}: write minute hour day-of-month month day-of-week"
            ) from error
