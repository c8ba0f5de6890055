"""Two JobQueues on one Redis queue: the older one keeps it."""

from __future__ import annotations

from crewline_operator.model.key import Key
from crewline_operator.redis.claims import Claim, Twins

OLD, NEW = Key("JobQueue", "a", "old"), Key("JobQueue", "b", "new")


def claim(created: str, uid: str = "u", queue: str = "emails") -> Claim:
    return Claim("redis:6379/0", "bull", queue, created, uid)


def test_the_older_keeps_the_queue_whoever_came_first() -> None:
    twins = Twins()
    assert twins.claim(NEW, claim("2026-02-02T00:00:00Z")) == (None, [])
    older, others = twins.claim(OLD, claim("2026-01-01T00:00:00Z"))
    assert (older, others) == (None, [NEW]), "the other has to be looked at again"
    assert twins.claim(NEW, claim("2026-02-02T00:00:00Z")) == (OLD, [])


def test_of_two_made_in_the_same_second_one_keeps_it() -> None:
    twins = Twins()
    twins.claim(OLD, claim("2026-01-01T00:00:00Z", "u1"))
    twins.claim(NEW, claim("2026-01-01T00:00:00Z", "u2"))
    assert twins.claim(OLD, claim("2026-01-01T00:00:00Z", "u1"))[0] is None
    assert twins.claim(NEW, claim("2026-01-01T00:00:00Z", "u2"))[0] == OLD


def test_when_the_older_goes_the_newer_takes_over() -> None:
    twins = Twins()
    twins.claim(OLD, claim("2026-01-01T00:00:00Z"))
    twins.claim(NEW, claim("2026-02-02T00:00:00Z"))
    assert twins.release(OLD) == [NEW]
    assert twins.claim(NEW, claim("2026-02-02T00:00:00Z")) == (None, [])


def test_a_changed_queue_name_gives_the_old_one_up() -> None:
    twins = Twins()
    twins.claim(OLD, claim("2026-01-01T00:00:00Z"))
    twins.claim(NEW, claim("2026-02-02T00:00:00Z"))
    assert twins.claim(OLD, claim("2026-01-01T00:00:00Z", queue="reports")) == (None, [NEW])


def test_other_prefixes_databases_and_queues_are_no_twins() -> None:
    twins = Twins()
    twins.claim(OLD, claim("2026-01-01T00:00:00Z"))
    for other in (
        Claim("redis:6379/1", "bull", "emails", "2026-02-02", "u"),
        Claim("redis:6379/0", "mail", "emails", "2026-02-02", "u"),
        Claim("redis:6379/0", "bull", "emails2", "2026-02-02", "u"),
    ):
        assert twins.claim(NEW, other)[0] is None
