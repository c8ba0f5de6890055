"""Tombstones: what is gone is known for a while, and no longer."""

from __future__ import annotations

from crewline_operator.kube.tombstones import REMEMBERED_SECONDS, Tombstones


def test_a_deletion_covers_what_is_older_than_it() -> None:
    graves = Tombstones()
    graves.bury("u1", 9)
    graves.bury("u1", 7)
    assert [graves.covers("u1", version) for version in (8, 9, 10)] == [True, True, False]
    assert not graves.covers("u2", 1)


def test_they_are_not_kept_for_ever() -> None:
    now = 0.0
    graves = Tombstones(lambda: now)
    for number in range(100):
        now = number * REMEMBERED_SECONDS / 10
        graves.bury(f"u{number}", 1)
    assert len(graves) == 10
    assert graves.covers("u99", 1)
    assert not graves.covers("u89", 1)
