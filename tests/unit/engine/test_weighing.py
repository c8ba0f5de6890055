"""Results are parted among calls by what they cost Redis."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from crewline.queue.job import Job
from crewline.redis.scripts import Result
from crewline.worker.calls.weighing import MOST_WEIGHT, carry, weight
from crewline.worker.runs.run import Lease, Run

HALF = MOST_WEIGHT // 2


def run(**fields: str) -> Run:
    stored = {name.encode(): value.encode() for name, value in fields.items()}
    return Run(Job(None, "1", "n", None, {}, fields=stored), Lease("t", ""))  # type: ignore[arg-type]


def result(outcome: str, value: str = "", **more: Any) -> Result:
    return Result("1", "t", outcome, value, **more)


def test_a_call_carries_results_up_to_its_weight_in_the_order_in_which_they_ended() -> None:
    ended = deque((run(), result("completed", "x" * size)) for size in (HALF, HALF, 1, 2))
    assert [len(each.value) for _, each in carry(ended, 25, letters=True)[0]] == [HALF, HALF]
    assert [len(each.value) for _, each in carry(ended, 1, letters=True)[0]] == [1]
    assert [len(each.value) for _, each in ended] == [2]


def test_a_result_that_is_too_heavy_goes_alone_and_says_so() -> None:
    ended = deque((run(), result("completed", "x" * size)) for size in (MOST_WEIGHT + 1, 1, MOST_WEIGHT + 2))
    assert carry(ended, 25, letters=True)[1]
    carried, heavy = carry(ended, 25, letters=True)
    assert [len(each.value) for _, each in carried] == [1] and not heavy
    assert len(ended) == 1


def test_nothing_is_taken_where_nothing_is_asked_for() -> None:
    ended = deque([(run(), result("completed"))])
    assert carry(ended, 0, letters=True) == ([], False)
    assert len(ended) == 1


def test_bytes_are_weighed_and_not_characters() -> None:
    assert weight(run(), result("completed", "€€"), letters=False) == 6


@pytest.mark.parametrize(
    ("letters", "more", "copied"),
    [(True, {}, True), (False, {}, False), (True, {"letter": False}, False)],
    ids=["letters", "no letters", "none for this one"],
)
def test_a_failure_weighs_what_its_letter_copies(letters: bool, more: dict[str, Any], copied: bool) -> None:
    assert (weight(run(data="x" * 1000), result("failed", **more), letters) > 1000) == copied


def test_a_retry_weighs_the_traces_that_are_there_already() -> None:
    assert weight(run(stacktrace="x" * 1000), result("retry"), letters=True) > 1000


def test_what_a_parent_gets_weighs_twice() -> None:
    assert weight(run(parentKey="bull:q:1"), result("completed", "xx"), letters=True) == 4


def test_a_result_that_was_refused_goes_by_itself() -> None:
    apart = [run(), run(), run()]
    apart[1].refused = ""
    ended = deque((each, result("back")) for each in (*apart, run()))
    assert [len(carry(ended, len(ended), letters=True)[0]) for _ in range(3)] == [1, 1, 2]
