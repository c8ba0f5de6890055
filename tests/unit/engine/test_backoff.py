"""The wait between attempts follows BullMQ's formulas, and survives whatever a foreign client wrote."""

from __future__ import annotations

import random

import pytest
from crewline import Backoff, InvalidOption
from crewline.wire.backoff import MAX_DELAY_MS, delay_ms
from hypothesis import given
from hypothesis import strategies as st


def test_exponential_doubles_with_each_attempt() -> None:
    wire = Backoff("exponential", 1, jitter=0).to_wire()
    assert [delay_ms(wire, attempt) for attempt in (1, 2, 3, 4)] == [1000, 2000, 4000, 8000]


def test_fixed_stays_and_a_bare_number_means_fixed_milliseconds() -> None:
    assert [delay_ms({"type": "fixed", "delay": 500}, attempt) for attempt in (1, 5)] == [500, 500]
    assert delay_ms(250, 3) == 250


@given(attempt=st.integers(1, 2000), jitter=st.floats(0, 1), seed=st.integers())
def test_jitter_only_shortens_and_never_below_its_share(attempt: int, jitter: float, seed: int) -> None:
    full = min(1000 * 2 ** (attempt - 1), MAX_DELAY_MS)
    wait = delay_ms({"type": "exponential", "delay": 1000, "jitter": jitter}, attempt, random.Random(seed))
    assert full * (1 - jitter) - 1 <= wait <= full


@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.text() | st.integers(), st.lists)
    | st.dictionaries(st.sampled_from(["type", "delay", "jitter"]), st.none() | st.floats() | st.text() | st.booleans())
)
def test_anything_on_the_wire_gives_a_wait_in_bounds(value: object) -> None:
    assert 0 <= delay_ms(value, 3) <= MAX_DELAY_MS


@pytest.mark.parametrize(
    "arguments", [{"type": "linear"}, {"delay": -1}, {"delay": float("nan")}, {"jitter": 1.5}], ids=str
)
def test_a_wrong_backoff_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidOption, match=next(iter(arguments))):
        Backoff(**arguments)  # type: ignore[arg-type]
