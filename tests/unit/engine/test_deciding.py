"""What the next call carries, and whose turn it is then."""

from __future__ import annotations

from crewline.worker.calls.deciding import BATCH, FILL_FROM, FILL_MOST, Turn, View, filled, next_call, owing


def test_results_that_were_too_long_for_the_planned_call_are_owed_all_the_same() -> None:
    plan, turn = next_call(View(results=10, free=0, hot=True, in_flight=0), Turn(owed=10))
    assert plan is not None and (plan.results, turn.owed) == (10, 0)
    # only three of them fitted
    turn = owing(turn, 7)
    plan, _ = next_call(View(results=7, free=FILL_FROM, hot=True, in_flight=0), turn)
    assert plan is not None and (plan.results, plan.fills) == (7, False)


def test_slots_are_filled_first_and_then_all_that_waited_is_written() -> None:
    plan, turn = next_call(View(results=20, free=20, hot=True, in_flight=0), Turn())
    assert plan is not None and plan == (0, FILL_MOST, True)
    assert next_call(View(results=20, free=10, hot=True, in_flight=1), turn)[0] is None
    turn = filled(turn, FILL_MOST, FILL_MOST, 20)
    plan, turn = next_call(View(results=20, free=10, hot=True, in_flight=0), turn)
    assert plan is not None and plan.fills
    turn = filled(turn, FILL_MOST, FILL_MOST, 20)
    assert turn.owed == 20
    plan, _ = next_call(View(results=20, free=10, hot=True, in_flight=0), turn)
    assert plan is not None and (plan.results, plan.fills) == (min(20, BATCH), False)
