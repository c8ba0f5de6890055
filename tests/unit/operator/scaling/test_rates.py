"""How fast jobs come and how long they run, told from the counts of a queue alone."""

from __future__ import annotations

import pytest
from crewline_operator.model.demand import Demand
from crewline_operator.scaling.rates import Rates, observe
from crewline_operator.scaling.spec import Behavior

from tests.unit.operator.factories import snapshot

BEHAVIOR = Behavior()
#: The reader's clock at second 0.
EPOCH_MS = 1_700_000_000_000


def read(
    second: float,
    added: int,
    waiting: int = 0,
    active: int = 0,
    delayed: int = 0,
    due: int = 0,
    ended: int | None = None,
) -> Demand:
    read_ms = EPOCH_MS + round(second * 1000)
    return Demand(waiting, due, active, delayed=delayed, added=added, ended=ended, read_ms=read_ms)


def observed(*reads: Demand, rates: Rates | None = None) -> Rates:
    rates = rates or Rates()
    for each in reads:
        rates = observe(rates, each, BEHAVIOR)
    return rates


def steady(seconds: int, a_second: int, active: int) -> list[Demand]:
    """A queue that works off all that comes, `active` at a time."""
    return [read(second, second * a_second, active=active) for second in range(seconds + 1)]


def test_arrivals_and_service_time_of_a_steady_queue_are_exact() -> None:
    rates = observed(*steady(seconds=90, a_second=4, active=10))
    assert rates.arrivals(6) == pytest.approx(4, rel=0.05)
    assert rates.arrivals(60) == pytest.approx(4, rel=0.01)
    assert rates.busy(6) == pytest.approx(10)
    assert rates.service_seconds == pytest.approx(2.5, rel=0.05)


def test_a_burst_is_in_the_short_window_at_once_and_in_the_long_one_little_by_little() -> None:
    rates = observed(*steady(60, 1, 1), read(61, 121, waiting=60, active=1))
    assert rates.arrivals(6) == pytest.approx(11, rel=0.3)
    assert rates.arrivals(60) == pytest.approx(2, rel=0.1)


def test_a_window_that_is_not_full_counts_as_without_jobs_before() -> None:
    """Two reads that lie close together tell of no rate."""
    rates = observed(read(0, 0), read(0.1, 50, waiting=50))
    assert rates.arrivals(6) == pytest.approx(50 / 6)


def test_jobs_that_wait_for_their_time_arrive_when_it_has_come() -> None:
    rates = observed(read(0, 0), read(1, 1000, delayed=1000))
    assert rates.arrivals(6) == 0
    rates = observed(read(2, 1000, delayed=1000, due=60), rates=rates)
    assert rates.arrivals(6) == pytest.approx(10)


def test_a_retry_is_more_of_the_same_job() -> None:
    """It runs for a second, waits for four, and runs for another one."""
    reads = [read(0, 0), read(1, 1, active=1), read(2, 1, delayed=1), read(5, 1, delayed=1)]
    rates = observed(*reads, read(6, 1, active=1), read(7, 1))
    assert rates.service_seconds == pytest.approx(2)
    assert rates.arrivals(6) == pytest.approx(1 / 6, rel=0.2)


def test_adds_of_what_is_there_leave_the_busy_slots_right() -> None:
    """Every other add is refused as a duplicate, and the counter rises all the same."""
    rates = observed(*steady(90, 8, 10))
    assert rates.service_seconds is not None
    assert rates.arrivals(60) * rates.service_seconds == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize("duplicates", [0, 90, 990])
def test_duplicates_make_no_job_shorter_where_it_is_known_how_many_end(duplicates: int) -> None:
    reads = [
        read(second, second * (10 + duplicates), active=10, ended=max(0, 10 * (second - 1))) for second in range(91)
    ]
    rates = observed(*reads)
    assert rates.service_seconds == pytest.approx(1, rel=0.1)
    assert rates.arrivals(30) == rates.arrivals(60) == pytest.approx(10, rel=0.1)
    burst = read(91, 91 * (10 + duplicates) + 300, waiting=300, active=10, ended=900)
    assert observed(burst, rates=rates).arrivals(30) == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize("kept", [True, False], ids=["ended jobs are kept", "they are not"])
def test_a_queue_that_is_emptied_makes_no_job_shorter(kept: bool) -> None:
    def busy(second: int, more: int = 0, waiting: int = 0) -> Demand:
        ended = 10 * second if kept else None
        return read(second, 10 * second + more, waiting=waiting, active=10, ended=ended)

    rates = observed(*(busy(second) for second in range(91)), busy(91, 100_000, waiting=100_000), busy(92, 100_000))
    assert rates.service_seconds == pytest.approx(1, rel=0.15)
    assert rates.arrivals(60) == pytest.approx(10, rel=0.2), "what never ran has not arrived"
    assert observed(busy(93, 100_000), rates=rates).service_seconds == pytest.approx(1, rel=0.15)


def test_jobs_that_go_which_came_long_ago_do_not_hide_those_that_come() -> None:
    full = [read(second, 100_000 + 10 * second, waiting=100_000, active=10, ended=10 * second) for second in range(91)]
    emptied = [read(second, 100_000 + 10 * second, active=10, ended=10 * second) for second in range(91, 95)]
    assert observed(*full, *emptied).arrivals(60) == pytest.approx(10, rel=0.1)


def test_jobs_that_are_shorter_all_at_once_are_known_within_a_minute_also_where_none_is_kept() -> None:
    before = observed(*steady(300, 10, 10))
    shorter = [read(300 + second, 3000 + 1000 * second, active=10) for second in range(1, 61)]
    assert observed(*shorter, rates=before).service_seconds == pytest.approx(0.01, abs=0.02)


def test_few_short_jobs_that_no_read_sees_are_as_long_as_those_that_are_seen() -> None:
    """One in 20 s, of which every fourth is running at a read: each of these counts for all of a second."""
    reads = [read(second, second // 20, active=1 if second % 80 == 0 else 0) for second in range(1200)]
    assert observed(*reads).service_seconds == pytest.approx(0.25, rel=0.3)


def test_ends_that_could_not_be_counted_for_a_while_are_told_by_what_departed() -> None:
    known = [read(second, 4 * second, active=10, ended=4 * second) for second in range(60)]
    unknown = [read(second, 4 * second, active=10) for second in range(60, 90)]
    begun = [read(second, 4 * second, active=10, ended=4 * (second - 90)) for second in range(90, 180)]
    assert observed(*known, *unknown, *begun).service_seconds == pytest.approx(2.5, rel=0.1)


def test_a_jump_of_redis_clock_makes_no_job_longer() -> None:
    reads = [
        snapshot(active=10, added=10 * second, read_at=float(second), now_ms=EPOCH_MS + 1000 * second)
        for second in range(91)
    ]
    later = snapshot(active=10, added=910, read_at=91.0, now_ms=EPOCH_MS + 3_691_000)
    rates = observed(*(each.demand for each in (*reads, later)))
    assert rates.service_seconds == pytest.approx(1, rel=0.05)
    assert rates.arrivals(60) == pytest.approx(10, rel=0.05)


def test_before_the_first_job_ends_it_takes_as_long_as_it_has_run() -> None:
    assert Rates().service_seconds is None
    assert observed(read(0, 0), read(1, 5, waiting=5)).service_seconds is None
    running = [read(second, 5, active=5) for second in range(2, 12)]
    rates = observed(read(0, 0), read(1, 5, waiting=5), *running)
    assert rates.service_seconds == pytest.approx(5 * 9.5)
    assert observed(read(12, 5), rates=rates).service_seconds == pytest.approx(10, rel=0.1)


def test_the_service_time_is_known_after_a_night_without_a_job() -> None:
    rates = observed(*steady(90, 4, 10), read(91, 364), read(30_000, 364), read(30_001, 365, waiting=1))
    assert rates.service_seconds == pytest.approx(2.5, rel=0.1)
    assert rates.arrivals(60) == pytest.approx(1 / 60, rel=0.05)


def test_a_new_service_time_is_known_within_minutes() -> None:
    before = observed(*steady(600, 10, 10))
    slower = [read(600 + second, 6000 + 10 * second, active=50) for second in range(1, 301)]
    assert before.service_seconds == pytest.approx(1, rel=0.05)
    assert observed(*slower, rates=before).service_seconds == pytest.approx(5, rel=0.1)


def test_long_jobs_are_measured_over_more_than_a_window() -> None:
    """Ten at a time, 200 s each: in most minutes none ends. What they have run so far makes them longer."""
    rates, told = Rates(), []
    for second in range(3000):
        rates = observe(rates, read(second, 10 * (second // 200 + 1), active=10), BEHAVIOR)
        told.append(rates.service_seconds or 0)
    assert min(told[1000:]) > 190 and max(told[1000:]) < 300


@pytest.mark.parametrize(
    "odd",
    [read(92, 3, active=2), read(92, 0), read(91, 0)],
    ids=["another server", "emptied", "emptied within a read"],
)
def test_sums_that_fall_begin_anew(odd: Demand) -> None:
    rates = observed(*steady(90, 4, 10), odd)
    assert rates.arrivals(60) in (0, pytest.approx(4, rel=0.05))
    assert rates.service_seconds == pytest.approx(2.5, rel=0.05), "jobs take what they took"


def test_a_counter_that_can_not_be_read_tells_of_nothing() -> None:
    unknown = Demand(5, 0, 5, added=None, read_ms=EPOCH_MS + 91_000)
    rates = observed(*steady(90, 4, 10), unknown)
    assert (rates.arrivals(60), rates.busy(60), rates.service_seconds) == (0, 0, None)


def test_a_minute_is_kept_in_few_samples() -> None:
    rates = Rates()
    for quarter in range(4 * 600):
        rates = observe(rates, read(quarter / 4, quarter, active=1), BEHAVIOR)
        assert len(rates.samples) <= 45
    assert rates.arrivals(60) == pytest.approx(4, rel=0.05)
