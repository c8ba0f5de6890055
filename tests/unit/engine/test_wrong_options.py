"""Options of the wrong kind, and as BullMQ writes them, are refused by name and with what to write instead."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import redis as redis_py
from crewline import Backoff, Dedup, FlowJob, InvalidOption, Keep, Queue, Worker
from crewline.queue.flows import plan_flow
from crewline.wire.cron import next_cron_ms
from crewline.wire.options import OPTIONS, encode_job, encode_jobs
from crewline.wire.settings import Settings

AS_BULLMQ = [
    ("backoff", {"type": "fixed", "delay": 1000}, r"Backoff\('fixed', 5\)"),
    ("remove_on_complete", {"count": 5}, r"a count, or Keep .*age_seconds"),
    ("remove_on_fail", {"age": 3600, "count": 5}, r"a count, or Keep .*age_seconds"),
    ("dedup", {"id": "x", "ttl": 5}, r"Dedup\('report-7', ttl_seconds=60\)"),
]


@pytest.mark.parametrize(("option", "value", "said"), AS_BULLMQ)
def test_an_object_as_bullmq_writes_it_is_refused_by_name_with_what_to_write(
    option: str, value: Any, said: str
) -> None:
    with pytest.raises(InvalidOption, match=f"^{option} .*must be .*{said}"):
        encode_job("n", 1, **{option: value})
    with pytest.raises(InvalidOption, match=f"^item 1: {option} .*{said}"):
        encode_jobs([("n", 1), ("n", 1, {option: value})])
    with pytest.raises(InvalidOption, match=f"^root > leaf: {option} .*{said}"):
        plan_flow(FlowJob("root", children=[FlowJob("leaf", options={option: value})]), "q", "bull", 100, seed="s")


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("value", [{}, {"a": 1}, [], [1], {1}, object(), b"x", 1j])
def test_a_value_of_no_kind_that_an_option_has_is_refused_by_name(option: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=f"^{option} "):
        encode_job("n", 1, **{option: value})


@pytest.mark.parametrize(
    ("name", "mend"),
    [("removeOnComplete", "use remove_on_complete"), ("jobId", "use job_id"), ("deduplication", "use dedup"),
     ("repeat", r"use Queue\.schedule"), ("parent", r"use Queue\.add_flow"), ("retries", r"use those of Queue\.add"),
     *((ours, r"use those of Queue\.add") for ours in ("what", "more", "extra", "max_payload_bytes", "data", 5))],
)  # fmt: skip
def test_an_option_that_is_none_is_refused_with_the_name_it_has_here(name: Any, mend: str) -> None:
    with pytest.raises(InvalidOption, match=f"^item 0: unknown option {name!r}: {mend}"):
        encode_jobs([("n", 1, {name: 1})])
    with pytest.raises(InvalidOption, match=f"^n > leaf: unknown option {name!r}: {mend}"):
        _plan(FlowJob("n", children=[FlowJob("leaf", options={name: 1})]))


@pytest.mark.parametrize("options", [None, "x", [("attempts", 1)], 5])
def test_options_that_are_no_dict_are_refused(options: Any) -> None:
    with pytest.raises(InvalidOption, match=r"item 0: options .* must be a dict"):
        encode_jobs([("n", 1, options)])
    with pytest.raises(InvalidOption, match=r"of a flow: options .* must be a dict"):
        FlowJob("n", options=options)


KEPT = {"dedup": Dedup("x", keep_last_if_active=True)}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: FlowJob("a", children=None), "children None must be a list of FlowJob"),  # type: ignore[arg-type]
        (lambda: FlowJob("a", children=["b"]), r"children \['b'\] must be a list"),  # type: ignore[list-item]
        (lambda: _plan(FlowJob("a", on_failure=[])), "a: on_failure .* one of wait"),  # type: ignore[arg-type]
        (lambda: _plan(FlowJob("a", children=[FlowJob("b", queue="x:y")])), "a > b: queue name 'x:y'"),
        (lambda: _plan(FlowJob("a", children=[FlowJob("b", queue="")])), "a > b: queue name ''"),
        (lambda: _plan(FlowJob("a", options={"job_id": ""})), "a: job_id ''"),
        (lambda: _plan("a"), "must be a FlowJob"),
        (lambda: _plan(FlowJob("a", options=KEPT)), "a: dedup keep_last_if_active can't be used in a flow"),
        (lambda: _plan(FlowJob("a", children=[FlowJob("b", options=KEPT)])), "a > b: dedup keep_last.*by itself with"),
    ],
)  # fmt: skip
def test_a_flow_that_is_none_is_refused_with_its_place(make: Any, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        make()


def _plan(root: Any) -> Any:
    return plan_flow(root, "q", "bull", 100, seed="s")


@pytest.mark.parametrize("expression", [5, None, {}, "9" * 5000 + " * * * *", "\udcff * * * *", "*/0 * * * *"])
def test_a_cron_expression_that_is_none_is_refused(expression: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^cron .* can't be used"):
        next_cron_ms(expression, "UTC", 0)


@pytest.mark.parametrize("zone", [5, None, {}, "", "..", "Europe", "\0", "\udcff", "x" * 5000])
def test_a_time_zone_that_is_none_is_refused(zone: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^time zone .* is unknown"):
        next_cron_ms("* * * * *", zone, 0)


@pytest.mark.parametrize("moment", [10**15, 10**30, -(10**15), 253_402_300_799_999])
def test_nothing_is_due_after_the_calendars_end(moment: int) -> None:
    with pytest.raises(InvalidOption, match="no calendar has that moment"):
        next_cron_ms("* * * * *", "Europe/Berlin", moment)


def test_a_timedelta_is_a_time_wherever_seconds_are() -> None:
    second = datetime.timedelta(seconds=1)
    assert Backoff("fixed", second).to_wire() == Backoff("fixed", 1).to_wire()  # type: ignore[arg-type]
    assert Dedup("d", second).to_wire() == Dedup("d", 1).to_wire()  # type: ignore[arg-type]
    Queue("q", timeout_seconds=second)  # type: ignore[arg-type]
    Worker("q", print, grace_seconds=second, lease_seconds=second, timeout_seconds=second)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["keep_completed", "keep_failed"])
def test_retention_of_a_worker_or_a_queue_is_a_keep(name: str) -> None:
    for make in (lambda **said: Worker("q", print, **said), Settings):
        with pytest.raises(InvalidOption, match=rf"^{name} \{{'count': 5\}} must be Keep\(count=1000, age_seconds"):
            make(**{name: {"count": 5}})


@pytest.mark.parametrize("redis", [None, 5, b"redis://:secret@h", redis_py.Redis(), object()])
def test_what_is_neither_a_url_nor_a_client_is_refused_and_not_shown(redis: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^redis must be a URL such as .* not a \w+$"):
        Queue("q", redis=redis)
    with pytest.raises(InvalidOption, match=r"^redis of a Worker must be a URL"):
        Worker("q", print, redis=redis)


def test_a_count_is_no_more_than_every_client_can_hold() -> None:
    for make in (lambda: Keep(2**53), lambda: encode_job("n", 1, attempts=10**400), lambda: Keep(age_seconds=2**53)):
        with pytest.raises(InvalidOption, match="must be an integer"):
            make()
    assert Keep(2**53 - 1).count == 2**53 - 1
