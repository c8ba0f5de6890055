"""A reading that is too old is none."""

from __future__ import annotations

from crewline_operator.model.fault import Fault
from crewline_operator.redis.reading import Reading

from tests.unit.operator.factories import snapshot


def test_a_reading_that_was_not_renewed_in_time_tells_of_nothing_but_that() -> None:
    reading = Reading(snapshot=snapshot(waiting=5, read_at=100.0))
    assert reading.as_of(170.0, 70) is reading
    late = reading.as_of(171.0, 70)
    assert late == Reading(
        fault=Fault("RedisUnreachable", "Redis was not read for more than 70 s: the operator's log tells why")
    )


def test_one_without_a_snapshot_grows_no_older() -> None:
    for reading in (Reading(), Reading(fault=Fault("RedisUnreachable", "it does not answer"))):
        assert reading.as_of(1e9, 70) is reading
