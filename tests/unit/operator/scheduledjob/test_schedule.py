"""When a schedule is due, over changes of summer time too."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from crewline_operator.scheduledjob.schedule import COUNT_MAX, InvalidSchedule, Schedule
from hypothesis import given
from hypothesis import strategies as st

BERLIN = ZoneInfo("Europe/Berlin")
# Europe/Berlin: 2026-03-29 02:00 -> 03:00, and 2026-10-25 03:00 -> 02:00.
SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=BERLIN), datetime(2026, 10, 25, tzinfo=BERLIN)


def runs(expression: str, start: datetime, hours: float, zone: str = "Europe/Berlin") -> list[str]:
    """The runs of a span, as wall times with their offset."""
    end = start.astimezone(UTC) + timedelta(hours=hours)
    found = []
    for run in Schedule(expression, zone).runs_after(start - timedelta(seconds=1)):
        if run >= end:
            break
        found.append(run.astimezone(ZoneInfo(zone)).strftime("%d. %H:%M:%S %z"))
    return found


def test_a_schedule_is_read_in_its_time_zone() -> None:
    after = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    assert Schedule("0 9 * * *", "America/New_York").next_after(after) == datetime(2026, 7, 1, 13, 0, tzinfo=UTC)
    assert Schedule("0 9 * * *", "Etc/UTC").next_after(after) == datetime(2026, 7, 2, 9, 0, tzinfo=UTC)


def test_six_fields_begin_with_the_second() -> None:
    after = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)
    assert Schedule("*/15 * * * * *", "Etc/UTC").next_after(after) == after + timedelta(seconds=15)


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_a_wall_time_that_is_skipped_runs_once_right_after_the_gap(expression: str) -> None:
    assert runs(expression, SPRING, 47) == ["29. 03:00:00 +0200", "30. 02:30:00 +0200"]


@pytest.mark.parametrize("expression", ["0,20,40 2 * * *", "0 0,20,40 2 * * *"])
def test_several_wall_times_in_one_gap_run_once(expression: str) -> None:
    assert runs(expression, SPRING, 20) == ["29. 03:00:00 +0200"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_a_wall_time_that_is_repeated_runs_once_the_first_time(expression: str) -> None:
    assert runs(expression, AUTUMN, 48) == ["25. 02:30:00 +0200", "26. 02:30:00 +0100"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_between_the_two_repeated_hours_the_next_run_is_on_the_next_day(expression: str) -> None:
    second_0215 = datetime(2026, 10, 25, 2, 15, tzinfo=BERLIN, fold=1)
    found = Schedule(expression, "Europe/Berlin").next_after(second_0215)
    assert found == datetime(2026, 10, 26, 2, 30, tzinfo=BERLIN)


def test_what_repeats_by_the_minute_goes_by_elapsed_time() -> None:
    assert runs("*/30 * * * *", AUTUMN + timedelta(hours=2), 2.5) == [
        "25. 02:00:00 +0200", "25. 02:30:00 +0200", "25. 02:00:00 +0100", "25. 02:30:00 +0100", "25. 03:00:00 +0100",
    ]  # fmt: skip
    assert runs("*/30 * * * *", SPRING + timedelta(hours=1), 1.5) == [
        "29. 01:00:00 +0100", "29. 01:30:00 +0100", "29. 03:00:00 +0200",
    ]  # fmt: skip


@given(
    start=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC)),
    expression=st.sampled_from(
        ["30 2 * * *", "0 30 2 * * *", "15,45 1-3 * * *", "0 15,45 1-3 * * *", "*/7 * * * *", "5 * * * *"]
    ),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Etc/UTC", "Asia/Kathmandu"]),
)
def test_runs_are_always_later_than_asked_for_and_each_later_than_the_one_before(
    start: datetime, expression: str, zone: str
) -> None:
    schedule = Schedule(expression, zone)
    found = schedule.runs_after(start)
    first, second = next(found), next(found)
    assert start < first < second
    assert schedule.next_after(first) == second, "the same runs come when asked one by one"


def test_due_gives_the_latest_run_and_how_many_there_were() -> None:
    schedule = Schedule("*/5 * * * *", "Etc/UTC")
    noon = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    due = schedule.due(noon, noon + timedelta(minutes=32))
    assert (due.latest, due.count) == (noon + timedelta(minutes=30), 6)
    assert schedule.due(noon, noon + timedelta(minutes=4)).latest is None
    at_once = schedule.due(noon, noon + timedelta(minutes=5))
    assert (at_once.latest, at_once.count) == (noon + timedelta(minutes=5), 1), "due means by then, not before then"


def test_after_a_long_absence_the_latest_run_is_still_exact() -> None:
    schedule = Schedule("* * * * * *", "Etc/UTC")
    now = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
    due = schedule.due(now - timedelta(days=90), now)
    assert (due.latest, due.count) == (now.replace(microsecond=0), COUNT_MAX)


def test_a_schedule_that_never_comes_has_no_next_run() -> None:
    # The 1st (or 31st) of February that is also its second Monday.
    assert Schedule("0 0 */30 2 MON#2", "Etc/UTC").next_after(datetime(2026, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("expression", "zone", "named"),
    [
        ("61 * * * *", "Etc/UTC", "spec.schedule '61 * * * *': Bad minute"),
        ("* * *", "Etc/UTC", "spec.schedule '* * *': Wrong number of fields"),
        ("0 0 30 2 *", "Etc/UTC", "spec.schedule '0 0 30 2 *': Bad day-of-month"),
        ("* * * * *", "Mars/Base", "spec.timeZone: the operator knows no time zone 'Mars/Base'"),
        ("* * * * *", "../etc/passwd", "spec.timeZone"),
    ],
)
def test_what_can_not_be_used_is_named_with_its_field(expression: str, zone: str, named: str) -> None:
    with pytest.raises(InvalidSchedule, match=re.escape(named)):
        Schedule(expression, zone)
