"""When a cron expression is due, in a time zone and across changes of summer time.

The rule: a wall time that a change skips runs once, right after the gap; one that is repeated runs once, the first
time. It is for expressions that name an hour and a minute; those that repeat by the hour or the minute (a `*` there)
go by elapsed time, as in Debian's cron, and so run in each of the two repeated hours. cronsim does this for
5 fields; with 6 it leaves the change alone, which is made up for here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from crewline.errors import InvalidOption

#: More missed runs than this are not counted one by one.
COUNT_MAX = 1000
#: Windows in which the latest run is looked for when there are many.
_LOOK_BACK = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=366))


@dataclass(frozen=True)
class Missed:
    """Runs that were due in a span of time."""

    latest: datetime | None
    #: How many, the latest one included; COUNT_MAX means that many or more.
    count: int


def check_zone(zone: str) -> ZoneInfo:
    """The time zone of that name, else InvalidOption."""
    try:
        return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError):
        raise InvalidOption(f"time zone {zone!r} is unknown: use an IANA name such as Europe/Berlin") from None


def next_cron_ms(expression: str, zone: str, after_ms: int) -> int | None:
    """The first time after ``after_ms`` (epoch milliseconds) at which ``expression`` is due; None if never again.

    Raises:
        InvalidOption: the expression or the zone can't be used, or the moment is beyond the calendar, which ends with
            the year 9999.
    """
    cron = Cron(expression, zone)
    try:
        found = cron.next_after(datetime.fromtimestamp(after_ms / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        raise InvalidOption(f"cron {expression!r} after {after_ms} ms: no calendar has that moment") from None
    return None if found is None else round(found.timestamp() * 1000)


class Cron:
    """A cron expression in a time zone. All results are in UTC.

    Args:
        expression: 5 fields, or 6 with seconds first.
        zone: an IANA time zone.

    Raises:
        InvalidOption: either can't be used.
    """

    def __init__(self, expression: str, zone: str) -> None:
        self.expression = expression
        self._zone = check_zone(zone)
        try:
            CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC))
        except (CronSimError, ValueError, AttributeError) as error:
            # a number without an end, no text at all
            raise InvalidOption(
                f"cron {expression!r} can't be used: {error}; write minute hour day month weekday, e.g. '*/5 * * * *'"
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
