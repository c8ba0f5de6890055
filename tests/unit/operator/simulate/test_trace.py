"""A recorded load is read, or the line and the column are told that are wrong."""

from __future__ import annotations

import contextlib

import pytest
from crewline_operator.simulate.trace import Arrival, TraceError, read_trace, spread
from hypothesis import given, settings
from hypothesis import strategies as st


def trace(text: str, service_seconds: float = 1.0) -> list[Arrival]:
    return read_trace("load.csv", text.splitlines(keepends=True), service_seconds)


def test_a_line_tells_when_how_many_and_how_long() -> None:
    read = trace("time,jobs,service_seconds\n0,2,0.5\n1.5,1,\n\n3,0,9\n", service_seconds=4)
    assert read == [Arrival(0, 2, 0.5), Arrival(1.5, 1, 4), Arrival(3, 0, 9)]


def test_columns_may_be_left_out_and_come_in_any_order() -> None:
    assert trace("time\n0\n2\n") == [Arrival(0, 1, 1), Arrival(2, 1, 1)]
    assert trace("jobs, time\n7,3\n") == [Arrival(0, 7, 1)]


def test_the_first_line_is_the_beginning() -> None:
    assert [each.time for each in trace("time\n1767225600\n1767225660.5\n")] == [0, 60.5]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "load.csv, line 1: there is no column time: begin the file with a header, such as time, jobs,"),
        ("when,jobs\n1,2\n", "load.csv, line 1: there is no column time"),
        ("time,job\n1,2\n", "load.csv, line 1: column 'job' is not known: there are time, jobs, service_seconds"),
        ("time,time\n1,2\n", "load.csv, line 1: column time is there twice: remove one"),
        ("time,jobs\n1,2\nsoon,3\n", "load.csv, line 3, column time: 'soon' is not seconds from 0 on"),
        ("time,jobs\n1,2\n-1,3\n", "load.csv, line 3, column time: '-1' is not seconds from 0 on"),
        ("time\nnan\n", "load.csv, line 2, column time: 'nan' is not seconds"),
        ("time,jobs\n1,2\n0,3\n", "load.csv, line 3, column time: 0 is before 1 of the line above: sort the lines"),
        ("time,jobs\n1,2.5\n", "load.csv, line 2, column jobs: '2.5' is not a whole number from 0 on"),
        ("time,jobs\n1,2,3\n", "load.csv, line 2: 3 values for 2 columns: give each column its value"),
        (
            "time,service_seconds\n1,1e9\n",
            "load.csv, line 2, column service_seconds: '1e9' is not seconds from 0 to 1000000",
        ),
        ("time,service_seconds\n1,long\n", "load.csv, line 2, column service_seconds: 'long' is not seconds"),
        ("time,jobs\n1,0\n", "load.csv: there is no job in it"),
        ("time,jobs\n1,9000000\n", "load.csv: 9000000 jobs are more than the 5000000 that are played"),
        ('time,jobs\n1,"2\n', "load.csv, line 2: unexpected end of data"),
    ],
)
def test_what_can_not_be_read_is_told_with_its_line_and_column(text: str, says: str) -> None:
    with pytest.raises(TraceError) as error:
        trace(text)
    assert str(error.value).startswith(says)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from('time,jobs 01.5-"\n\r\x00é'), max_size=60))
def test_anything_else_is_read_or_told(text: str) -> None:
    with contextlib.suppress(TraceError):
        assert sum(each.jobs for each in trace("time,jobs\n" + text)) > 0


def test_spread_lays_the_jobs_of_a_line_evenly_until_the_next() -> None:
    counted = trace("time,jobs\n0,4\n60,0\n120,2\n")
    assert [each.time for each in spread(counted)] == [0, 15, 30, 45, 120, 150]
    assert {each.jobs for each in spread(counted)} == {1}
