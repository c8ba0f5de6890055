"""When a schedule is due: cronsim's cron expressions, plus our rule for changes of summer time.

The rule: a wall time that a change skips runs once, right after the gap; one that is repeated runs once, the first
time. It is for schedules that name an hour and a minute; those that repeat by the hour or the minute (a `*` there)
go by elapsed time, as in Debian's cron, and so run in each of the two repeated hours. cronsim does this for
5 fields; with 6 it leaves the change alone, which is made up for here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

#: More missed runs than this are not counted one by one.
COUNT_MAX = 1000
#: Windows in which the latest run is looked for when there are many.
_LOOK_BACK = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=366))


class InvalidSchedule(Exception):
    """An expression or time zone that can't be used; the message names the field and the mend."""


@dataclass(frozen=True)
class Missed:
    """Runs that were due in a span of time."""

    latest: datetime | None
    #: How many, the latest one included; COUNT_MAX means that many or more.
    count: int


class Schedule:
    """A cron expression in a time zone. All results are in UTC."""

    def __init__(self, expression: str, time_zone: str) -> None:
        self.expression = expression
        try:
            self._zone = ZoneInfo(time_zone)
        except (KeyError, ValueError, OSError) as error:
            raise InvalidSchedule(
                f"spec.timeZone: the operator knows no time zone {time_zone!r}: write it as in Europe/Berlin"
            ) from error
        try:
            CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC))
        except CronSimError as error:
            raise InvalidSchedule(
                f"spec.schedule {expression!r}: {error}: write minute hour day-of-month month day-of-week"
            ) from error
        fields = expression.split()
        by_wall_clock = not any(field.startswith("*") for field in fields[-5:-3])
        self._naive = len(fields) == 6 and by_wall_clock

    def next_after(self, moment: datetime) -> datetime | None:
        """The first run after `moment`; None if the expression names no day that comes in 50 years."""
        return next(self.runs_after(moment), None)

    def runs_after(self, moment: datetime) -> Iterator[datetime]:
        """The runs after `moment`, each later than the one before."""
        latest = moment.astimezone(UTC)
        local = moment.astimezone(self._zone)
        runs = self._naive_runs(local) if self._naive else CronSim(self.expression, local)
        for run in runs:
            # Two wall times in one gap move to the same moment, and a repeated wall time may lie before `moment`.
            found = run.astimezone(UTC)
            if found > latest:
                latest = found
                yield found

    def due(self, after: datetime, until: datetime) -> Missed:
        """The runs later than `after` that were due by `until`."""
        latest, count = None, 0
        for run in self.runs_after(after):
            if run > until:
                return Missed(latest, count)
            latest, count = run, count + 1
            if count == COUNT_MAX:
                return Missed(self._latest(after, until) or latest, count)
        return Missed(latest, count)

    def _latest(self, after: datetime, until: datetime) -> datetime | None:
        for window in _LOOK_BACK:
            latest = None
            for run in self.runs_after(max(after, until - window)):
                if run > until:
                    break
                latest = run
            if latest is not None:
                return latest
        return None

    def _naive_runs(self, local: datetime) -> Iterator[datetime]:
        # Start before a repeated hour, whose wall times come a second time.
        start = local.replace(tzinfo=None) - timedelta(hours=2)
        for wall in CronSim(self.expression, start):
            moment = wall.replace(tzinfo=self._zone, fold=0)
            while _skipped(moment):
                moment += timedelta(minutes=1)
            yield moment


def _skipped(moment: datetime) -> bool:
    """Whether a change to summer time jumps over this wall time."""
    return moment.astimezone(UTC).astimezone(moment.tzinfo).replace(fold=0) != moment.replace(fold=0)
