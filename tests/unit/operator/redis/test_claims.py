"""Two JobQueues on one Redis queue: the older one keeps it."""

from __future__ import annotations

from crewline_operator.model.key import Key
from crewline_operator.redis.claims import Claim, Claims

OLD, NEW = Key("JobQueue", "a", "old"), Key("JobQueue", "b", "new")


def claim(created: str, uid: str = "u", queue: str = "emails") -> Claim:
    return Claim("redis:6379/0", "bull", queue, created, uid)


def test_the_older_keeps_the_queue_whoever_came_first() -> None:
    claims = Claims()
    newer, older = claim("2026-02-02T00:00:00Z"), claim("2026-01-01T00:00:00Z")
    assert claims.older(NEW, newer) is None
    assert claims.make(NEW, newer) == []
    assert claims.older(OLD, older) is None
    assert claims.make(OLD, older) == [NEW], "the other has to be looked at again"
    assert claims.older(NEW, newer) == OLD


def test_asking_who_is_older_claims_nothing() -> None:
    claims = Claims()
    claims.older(OLD, claim("2026-01-01T00:00:00Z"))
    assert claims.of(OLD) is None
    assert claims.older(NEW, claim("2026-02-02T00:00:00Z")) is None


def test_the_same_claim_again_concerns_nobody() -> None:
    claims = Claims()
    claims.make(OLD, claim("2026-01-01T00:00:00Z"))
    claims.make(NEW, claim("2026-02-02T00:00:00Z"))
    assert claims.make(OLD, claim("2026-01-01T00:00:00Z")) == []


def test_of_two_made_in_the_same_second_one_keeps_it() -> None:
    claims = Claims()
    first, second = claim("2026-01-01T00:00:00Z", "u1"), claim("2026-01-01T00:00:00Z", "u2")
    claims.make(OLD, first)
    claims.make(NEW, second)
    assert claims.older(OLD, first) is None
    assert claims.older(NEW, second) == OLD


def test_when_the_older_goes_the_newer_takes_over() -> None:
    claims = Claims()
    claims.make(OLD, claim("2026-01-01T00:00:00Z"))
    claims.make(NEW, claim("2026-02-02T00:00:00Z"))
    assert claims.drop(OLD) == [NEW]
    assert claims.older(NEW, claim("2026-02-02T00:00:00Z")) is None


def test_a_changed_queue_name_gives_the_old_one_up() -> None:
    claims = Claims()
    claims.make(OLD, claim("2026-01-01T00:00:00Z"))
    claims.make(NEW, claim("2026-02-02T00:00:00Z"))
    assert claims.make(OLD, claim("2026-01-01T00:00:00Z", queue="reports")) == [NEW]
    assert claims.older(NEW, claim("2026-02-02T00:00:00Z")) is None


def test_other_prefixes_databases_and_queues_are_no_twins() -> None:
    claims = Claims()
    claims.make(OLD, claim("2026-01-01T00:00:00Z"))
    for other in (
        Claim("redis:6379/1", "bull", "emails", "2026-02-02", "u"),
        Claim("redis:6379/0", "mail", "emails", "2026-02-02", "u"),
        Claim("redis:6379/0", "bull", "emails2", "2026-02-02", "u"),
    ):
        assert claims.older(NEW, other) is None
