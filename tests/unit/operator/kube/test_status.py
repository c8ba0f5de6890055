"""Conditions and status patches: nothing is written that did not move."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from crewline_operator.jobqueue.status import NUMBERS
from crewline_operator.kube.conditions import Condition, merge_conditions
from crewline_operator.kube.status import is_material, merge_patch
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.operator.factories import NOW, patched

json_objects = st.recursive(
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3) | st.lists(st.integers(0, 2), max_size=2), max_size=4),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner | st.integers(0, 3), max_size=4),
    max_leaves=8,
)


def test_a_condition_keeps_its_transition_time_while_its_status_stays() -> None:
    first = merge_conditions({}, [Condition("Ready", False, "WorkersStarting", "…")], 1, NOW)
    later = NOW + timedelta(minutes=5)
    same = merge_conditions({"conditions": first}, [Condition("Ready", False, "RedisUnreachable", "…")], 2, later)
    assert same[0]["lastTransitionTime"] == "2026-03-01T12:00:00Z"
    assert (same[0]["reason"], same[0]["observedGeneration"]) == ("RedisUnreachable", 2)
    flipped = merge_conditions({"conditions": same}, [Condition("Ready", True, "WorkersReady", "…")], 2, later)
    assert flipped[0]["lastTransitionTime"] == "2026-03-01T12:05:00Z"


def test_an_unknown_condition_is_unknown_and_a_dropped_one_goes() -> None:
    merged = merge_conditions({"conditions": [{"type": "Old"}]}, [Condition("Paused", None, "Pending", "")], 1, NOW)
    assert [(each["type"], each["status"]) for each in merged] == [("Paused", "Unknown")]


@given(json_objects, json_objects)
def test_a_patch_turns_the_earlier_status_into_the_wanted_one(earlier: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert patched(earlier, merge_patch(earlier, wanted)) == wanted


@given(json_objects)
def test_an_equal_status_needs_no_patch(status: dict[str, Any]) -> None:
    assert merge_patch(status, status) == {}


def test_only_numbers_may_wait() -> None:
    assert not is_material({"counts": {"waiting": 3}, "running": []}, NUMBERS)
    assert is_material({"counts": {"waiting": 3}, "ready": "1/1"}, NUMBERS)
