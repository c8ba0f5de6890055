"""The budget for statuses: no more than it says, what matters first, then the oldest numbers, and nobody forgotten."""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager

import pytest
from crewline_operator.kube.budget import WriteBudget
from crewline_operator.model.key import Key
from crewline_operator.model.urgency import Urgency


class Office:
    """A budget of 8 a second, a clock that passes when told to, and who was called."""

    def __init__(self) -> None:
        self.now = 100.0
        self.called: list[str] = []
        self.budget = WriteBudget(8, lambda key: self.called.append(key.name), lambda: self.now)

    def take(self, name: str, urgency: Urgency = Urgency.MATERIAL, written_at: float | None = None) -> bool:
        return self.budget.take(Key("JobQueue", "shop", name), urgency, written_at)

    def turn(self, name: str) -> AbstractContextManager[None]:
        return self.budget.turn(Key("JobQueue", "shop", name))

    def spend(self) -> None:
        while self.take("spender"):
            pass
        self.budget.forget(Key("JobQueue", "shop", "spender"))

    def after(self, seconds: float) -> list[str]:
        """Who is called when that time has passed."""
        self.now += seconds
        self.called.clear()
        self.budget.call()
        return [*self.called]


def test_there_is_a_second_of_it_at_once_and_then_as_much_as_time_brings() -> None:
    office = Office()
    assert [office.take(f"q{number}") for number in range(10)] == [True] * 8 + [False] * 2
    assert office.after(0.0625) == []
    assert office.budget.call() == 0.0625
    assert office.after(0.0625) == ["q8"]
    assert office.take("q8"), "its turn is paid for"
    assert not office.take("q8"), "once"


def test_what_matters_goes_first_and_in_the_order_in_which_it_came() -> None:
    office = Office()
    office.spend()
    office.take("counts", Urgency.NUMBERS)
    for name in ("a", "b", "a"):
        assert not office.take(name)
    assert office.after(0.375) == ["a", "b", "counts"]


def test_of_numbers_the_oldest_go_first() -> None:
    office = Office()
    office.spend()
    for name, written_at in (("young", 99.0), ("old", 40.0), ("never", None)):
        office.take(name, Urgency.NUMBERS, written_at)
    assert office.after(0.375) == ["never", "old", "young"]


def test_numbers_that_became_more_than_numbers_move_up() -> None:
    office = Office()
    office.spend()
    for name in ("a", "b"):
        office.take(name, Urgency.NUMBERS, 0.0)
    office.take("b", Urgency.MATERIAL)
    office.take("b", Urgency.NUMBERS, 0.0)
    assert office.after(0.25) == ["b", "a"]


def test_nobody_takes_the_turn_of_those_who_wait() -> None:
    office = Office()
    office.spend()
    assert not office.take("a")
    office.now += 0.125
    assert not office.take("b")
    assert not office.take("counts", Urgency.NUMBERS)
    assert office.after(0.25) == ["a", "b", "counts"]


def test_what_matters_does_not_wait_for_numbers() -> None:
    office = Office()
    office.spend()
    office.take("counts", Urgency.NUMBERS)
    office.now += 0.125
    assert office.take("a")
    assert office.after(0.125) == ["counts"]


def test_what_must_be_written_is_and_the_others_wait_for_it() -> None:
    office = Office()
    office.spend()
    assert all(office.take("moved", Urgency.NOW) for _ in range(5))
    office.take("a")
    assert office.after(0.625) == []
    assert office.after(0.125) == ["a"]


def test_a_debt_has_an_end() -> None:
    office = Office()
    for _ in range(1000):
        office.take("moved", Urgency.NOW)
    office.take("a")
    assert office.after(1.125) == ["a"]


def test_who_wrote_or_is_gone_waits_no_more() -> None:
    office = Office()
    office.spend()
    office.take("a", Urgency.NUMBERS)
    office.take("b")
    office.budget.forget(Key("JobQueue", "shop", "b"))
    assert office.after(0.125) == ["a"]
    assert office.take("a")
    assert office.after(5) == []
    assert office.budget.call() is None


def test_a_turn_that_was_not_taken_is_another_s_once_it_was_looked_at() -> None:
    office = Office()
    office.spend()
    for number in range(8):
        office.take(f"q{number}")
    assert len(office.after(1)) == 8
    for number in range(8):
        with office.turn(f"q{number}"):
            pass
    office.now += 100
    writes = [office.take(name) for name in [f"q{number}" for number in range(8)] * 2]
    assert writes == [True] * 8 + [False] * 8


def test_a_turn_lasts_until_it_was_looked_at_however_long_that_takes() -> None:
    """There may be more to look at than time: whoever lost its turn for that would go back to the end."""
    office = Office()
    office.spend()
    office.take("old", Urgency.NUMBERS, 40.0)
    assert office.after(0.125) == ["old"]
    office.spend()
    office.now += 60
    office.spend()
    with office.turn("old"):
        assert office.take("old", Urgency.NUMBERS, 40.0)


def test_who_is_called_while_it_is_looked_at_has_its_turn_the_next_time() -> None:
    office = Office()
    office.spend()
    with office.turn("a"):
        office.take("a")
        assert office.after(0.125) == ["a"]
    office.spend()
    with office.turn("a"):
        assert office.take("a")


def test_a_look_that_fails_gives_its_turn_back() -> None:
    office = Office()
    office.spend()
    office.take("a")
    assert office.after(0.125) == ["a"]
    with pytest.raises(OSError, match="full"), office.turn("a"):
        raise OSError("full")
    assert office.take("b")


def test_numbers_are_written_in_their_order_also_where_all_are_looked_at_seldom() -> None:
    """A thousand queues whose numbers move all the time, each of which is looked at each ten seconds."""
    now, ready, written = [0.0], deque[Key](), dict[Key, float]()
    keys = [Key("JobQueue", "shop", f"{number}") for number in range(1000)]
    budget = WriteBudget(50, ready.append, lambda: now[0])
    writes = 0
    for look in range(6000):
        now[0] = look / 100
        budget.call()
        ready.append(keys[look % len(keys)])
        key = ready.popleft()
        with budget.turn(key):
            if budget.take(key, Urgency.NUMBERS, written.get(key)):
                written[key] = now[0]
                writes += 1
    assert writes >= 0.9 * 50 * 60 * 100 / 150, "each second look was for one that was called"
    assert len(written) == len(keys), "nobody is written again before all others were"
