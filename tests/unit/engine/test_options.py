"""A job's options: one rule for times, for None, for a plain number of seconds, and for how long finished jobs stay."""

from __future__ import annotations

import datetime
import json
import math
import re
from typing import Any

import pytest
from crewline import Backoff, Dedup, InvalidOption, Keep
from crewline.wire.checks import A_MILLISECOND, check_count, check_rate, check_seconds
from crewline.wire.options import encode_job, encode_shape
from crewline.wire.retention import KEEP_COMPLETED, keep_from_wire
from hypothesis import given
from hypothesis import strategies as st


def _opts(**options: Any) -> dict[str, Any]:
    return json.loads(encode_shape("n", **options)[1].opts)


@pytest.mark.parametrize("value", [-1, -0.001, math.nan, math.inf, -math.inf, 1e11, "1", None, True, [1]])
def test_what_is_no_time_is_refused_by_name_with_what_to_write(value: object) -> None:
    with pytest.raises(InvalidOption, match=r"grace .* must be a number of seconds of 0 or more: say 0 for none"):
        check_seconds(value, "grace", mend="say 0 for none")


def test_a_time_may_be_a_timedelta_and_its_bound_may_exclude_none() -> None:
    assert check_seconds(datetime.timedelta(minutes=1), "grace") == 60
    assert check_seconds(0, "grace") == 0
    with pytest.raises(InvalidOption, match=r"lease 0 must be a number of seconds of 0\.001 or more"):
        check_seconds(0, "lease", A_MILLISECOND)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "3", None])
def test_a_count_is_an_integer_of_1_or_more(value: object) -> None:
    with pytest.raises(InvalidOption, match=r"max_crashes .* must be an integer of 1 or more"):
        check_count(value, "max_crashes")


@pytest.mark.parametrize("value", [(0, 1), (1, 0), (1, math.nan), (math.nan, 1), (1, math.inf), (1, -1), 5, None])
def test_a_rate_is_jobs_and_seconds(value: object) -> None:
    with pytest.raises(InvalidOption, match="rate"):
        check_rate(value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Backoff(delay=math.inf), lambda: Backoff("fixed", -1), lambda: Backoff(jitter=math.nan),
        lambda: Dedup("d", ttl_seconds=-1), lambda: Dedup("d", ttl_seconds=math.nan),
        lambda: Dedup("d", ttl_seconds=math.inf), lambda: Keep(count=-1), lambda: Keep(age_seconds=-1),
        lambda: Keep(age_seconds=True), lambda: encode_shape("n", delay=datetime.timedelta(seconds=-1)),
        lambda: encode_shape("n", delay=math.inf), lambda: encode_shape("n", backoff=-1),
        lambda: encode_shape("n", backoff=math.nan), lambda: encode_shape("n", dedup={"id": "x"}),
    ],
)  # fmt: skip
def test_a_negative_or_endless_time_is_refused_where_it_is_written(make: Any) -> None:
    with pytest.raises(InvalidOption, match=r"backoff|ttl_seconds|keep|delay|dedup"):
        make()


@pytest.mark.parametrize(
    "option",
    ["job_id", "delay", "priority", "lifo", "attempts", "backoff", "remove_on_complete", "remove_on_fail", "dedup",
     "trace"],
)  # fmt: skip
def test_none_is_an_option_left_out(option: str) -> None:
    assert encode_job("n", 1, **{option: None}) == encode_job("n", 1)


def test_a_number_of_seconds_is_a_fixed_backoff_and_a_fixed_one_has_no_jitter_unless_asked() -> None:
    assert _opts(backoff=2) == _opts(backoff=Backoff("fixed", 2))
    assert _opts(backoff=2)["backoff"] == {"type": "fixed", "delay": 2000}
    assert _opts(backoff=Backoff("fixed", 2, 0.25))["backoff"] == {"type": "fixed", "delay": 2000, "jitter": 0.25}
    assert _opts()["backoff"] == {"type": "exponential", "delay": 1000, "jitter": 0.5}


@pytest.mark.parametrize("none", [0, 0.0, Backoff("fixed", 0), Backoff("exponential", 0)])
def test_no_wait_is_said_with_0_and_written_as_bullmq_does(none: Any) -> None:
    assert "backoff" not in _opts(backoff=none)
    assert _opts(backoff=Backoff.named("mine"))["backoff"] == {"type": "mine", "delay": 0}


def test_default_retention_stands_in_the_options_of_our_jobs_only() -> None:
    opts = _opts()
    assert opts["removeOnComplete"] == {"count": 1000, "age": 86400}
    assert opts["removeOnFail"] == {"age": 604800}
    assert keep_from_wire(opts["removeOnComplete"], None) == "1000,86400"
    assert keep_from_wire(opts["removeOnFail"], None) == ",604800"
    # a job without the option stays, unless somebody says otherwise
    assert keep_from_wire(None, None) == ""
    assert keep_from_wire(None, KEEP_COMPLETED) == "1000,86400"


def test_the_written_default_yields_to_what_the_queue_or_the_worker_says_and_a_jobs_own_word_does_not() -> None:
    opts = _opts()
    assert keep_from_wire(opts["removeOnComplete"], Keep(count=10), KEEP_COMPLETED) == "10,"
    assert keep_from_wire(opts["removeOnComplete"], Keep(), KEEP_COMPLETED) == ""
    assert keep_from_wire(opts["removeOnComplete"], None, KEEP_COMPLETED) == "=1000,86400"
    own = _opts(remove_on_complete=Keep(count=20))
    assert keep_from_wire(own["removeOnComplete"], Keep(count=10), KEEP_COMPLETED) == "20,"


@pytest.mark.parametrize(
    ("value", "keep"),
    [
        (10**18, ""), ({"count": 10**18, "age": 60}, ",60"), ({"count": 5, "age": 10**400}, "5,"), (-1, ""), (2.5, ""),
        (5.0, "5,"), ({"age": 7.9}, ",7"), ({"count": True, "age": "60"}, ""), ([], ""), ("1", ""),
    ],
)  # fmt: skip
def test_of_what_another_client_wrote_no_bound_can_be_made_where_there_is_none(value: Any, keep: str) -> None:
    assert keep_from_wire(value, None) == keep


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["count", "age", "x"]), inner),
)


@given(_ANYTHING)
def test_whatever_stands_there_a_script_can_read_what_is_made_of_it(value: Any) -> None:
    assert re.fullmatch(r"0|(\d{0,15},\d{0,15})?", keep_from_wire(value, None))


def test_what_a_job_says_of_its_retention_goes_before_the_default() -> None:
    opts = _opts(remove_on_complete=False, remove_on_fail=Keep())
    assert (opts["removeOnComplete"], opts["removeOnFail"]) == (False, False)
    opts = _opts(remove_on_complete=True, remove_on_fail=Keep(5))
    assert (opts["removeOnComplete"], opts["removeOnFail"]) == (True, {"count": 5})


@pytest.mark.parametrize("value", [{"count": True}, {"count": -5}, {"age": -1}, {"age": 1e400}, {"age": "x"}, "x", 1.5])
def test_retention_that_a_foreign_client_wrote_wrongly_keeps_the_job(value: Any) -> None:
    assert keep_from_wire(value, None) == ""
