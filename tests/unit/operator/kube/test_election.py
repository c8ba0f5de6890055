"""An election's rules one by one; that no two lead is in test_election_model.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
from crewline_operator.kube.election import Candidacy, Record, Timing

TIMING = Timing(lease_seconds=8, renew_deadline_seconds=6, renew_seconds=2)
HELD = Record("other", 8, "then", "then", transitions=3, version="7", uid="u")


def candidate(has_ended: str = "nobody") -> Candidacy:
    return Candidacy("me", TIMING, lambda holder: holder == has_ended)


def test_a_lease_that_there_is_not_is_made_at_once() -> None:
    mine = candidate()
    assert mine.takes_in_seconds(5) is None, "nothing was looked at"
    mine.saw(Record(), 5)
    assert mine.takes_in_seconds(5) == 0
    assert mine.claim("now") == Record("me", 8, "now", "now", transitions=0, version="")


def test_a_lease_of_another_is_taken_when_it_was_seen_unchanged_for_as_long_as_it_says() -> None:
    mine = candidate()
    mine.saw(HELD, 100)
    mine.saw(HELD, 105)
    assert mine.takes_in_seconds(105) == 3
    mine.saw(replace(HELD, renewed="later", version="8"), 106)
    assert mine.takes_in_seconds(106) == 8
    mine.saw(replace(HELD, lease_seconds=15, version="9"), 107)
    assert mine.takes_in_seconds(114) == 8, "what the Lease says holds, not our own"
    assert mine.claim("now") == Record("me", 8, "now", "now", transitions=4, version="9")
    assert mine.claim("now").uid == "u"


def test_a_lease_that_was_released_is_taken_at_once() -> None:
    mine = candidate()
    mine.saw(HELD, 100)
    mine.saw(replace(HELD, holder="", version="8"), 101)
    assert mine.takes_in_seconds(101) == 0


def test_a_lease_of_a_process_that_has_surely_ended_is_taken_at_once() -> None:
    mine = candidate(has_ended="other")
    mine.saw(HELD, 100)
    assert mine.takes_in_seconds(100) == 0


def test_a_lease_that_somebody_deleted_is_not_made_before_its_holder_knows() -> None:
    mine = candidate()
    mine.saw(HELD, 100)
    mine.saw(Record(), 105)
    mine.saw(Record(), 106)
    assert mine.takes_in_seconds(106) == 7
    mine.saw(HELD, 107)
    assert mine.takes_in_seconds(107) == 8


def test_a_holder_makes_its_deleted_lease_again() -> None:
    mine = candidate()
    mine.saw(Record(), 100)
    mine.wrote(replace(mine.claim("now"), version="1"), began=100, now=101)
    mine.saw(Record(), 103)
    assert not mine.is_taken
    assert (mine.claim("later").holder, mine.claim("later").version) == ("me", "")


def test_time_in_the_lead_counts_from_when_the_renewal_was_begun() -> None:
    mine = candidate()
    mine.saw(Record(), 100)
    assert not mine.may_act(100)
    mine.wrote(replace(mine.claim("now"), version="1"), began=100, now=104)
    assert (mine.may_act(105.9), mine.may_act(106)) == (True, False)


def test_a_renewal_changes_only_its_date() -> None:
    mine = candidate()
    mine.saw(HELD, 100)
    taken = replace(mine.claim("first"), version="8")
    mine.wrote(taken, began=108, now=108)
    assert mine.claim("second") == replace(taken, renewed="second")


def test_who_finds_its_name_though_no_answer_came_renews_before_it_acts() -> None:
    mine = candidate()
    mine.saw(HELD, 100)
    mine.saw(replace(mine.claim("now"), version="8"), 110)
    assert not mine.may_act(110)
    assert mine.takes_in_seconds(110) == 0
    assert mine.claim("later") == Record("me", 8, "now", "later", transitions=4, version="8")


def test_who_releases_acts_no_more_and_leaves_nobody_waiting() -> None:
    mine = candidate()
    mine.saw(HELD, 100)
    mine.wrote(replace(mine.claim("now"), version="8"), began=108, now=108)
    released = mine.release("later")
    assert (released.holder, released.lease_seconds, released.version) == ("", 1, "8")
    assert not mine.may_act(108)


@pytest.mark.parametrize("holder", ["", "me"])
def test_what_is_nobody_elses_is_not_taken(holder: str) -> None:
    mine = candidate()
    mine.saw(replace(HELD, holder=holder), 100)
    assert not mine.is_taken
    mine.saw(replace(HELD, version="8"), 101)
    assert mine.is_taken
