"""The engine's own way into cron: milliseconds in and out. The rest is in tests/unit/operator/test_schedule.py."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from crewline import InvalidOption
from crewline.wire.cron import next_cron_ms


def _ms(*moment: int) -> int:
    return round(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("expression", "zone", "after", "due"),
    [
        ("*/5 * * * *", "UTC", (2026, 3, 1, 12, 0), (2026, 3, 1, 12, 5)),
        ("30 9 * * *", "Europe/Berlin", (2026, 7, 1, 12, 0), (2026, 7, 2, 7, 30)),
        ("*/10 * * * * *", "UTC", (2026, 3, 1, 12, 0, 1), (2026, 3, 1, 12, 0, 10)),
        # 02:30 does not exist on 29 March in Berlin: right after the gap, with seconds as without
        ("30 2 * * *", "Europe/Berlin", (2026, 3, 28, 12, 0), (2026, 3, 29, 1, 0)),
        ("0 30 2 * * *", "Europe/Berlin", (2026, 3, 28, 12, 0), (2026, 3, 29, 1, 0)),
        # 02:30 comes twice on 25 October: the first one, and then that of the next day
        ("0 30 2 * * *", "Europe/Berlin", (2026, 10, 24, 12, 0), (2026, 10, 25, 0, 30)),
        ("0 30 2 * * *", "Europe/Berlin", (2026, 10, 25, 0, 30), (2026, 10, 26, 1, 30)),
    ],
)
def test_the_next_time_is_right_in_its_zone(
    expression: str, zone: str, after: tuple[int, ...], due: tuple[int, ...]
) -> None:
    assert next_cron_ms(expression, zone, _ms(*after)) == _ms(*due)


@pytest.mark.parametrize(
    ("expression", "zone", "said"),
    [("61 * * * *", "UTC", "cron '61"), ("* * * *", "UTC", "write minute hour"), ("* * * * *", "Mars/X", "time zone")],
)
def test_what_can_not_be_used_is_refused_with_the_mend(expression: str, zone: str, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        next_cron_ms(expression, zone, 0)
