"""A spec that names another queue: followed once nothing is left behind, and never before."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.effects.actions import Apply, GiveUpClaim, TakeBackRun, Unfollow, WriteStatus
from crewline_operator.jobqueue.move import may_move, settle
from crewline_operator.jobqueue.observed import Move
from crewline_operator.jobqueue.served import MASK, served_object, told_redis
from crewline_operator.jobqueue.spec import parse_jobqueue
from crewline_operator.model.fault import Fault
from crewline_operator.model.left import Left
from crewline_operator.model.marks import Mark
from crewline_operator.model.owner import Owner
from crewline_operator.model.urgency import Urgency
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.reading import Reading

from tests.unit.operator.factories import (
    ENDPOINT,
    ME,
    conditions,
    deployment,
    jobqueue,
    jobqueue_object,
    message,
    observed,
)
from tests.unit.operator.jobqueue.plans import MAILS, UNREACHABLE, actions, manifest, planned, reading, status_of

REDIS = {"url": "redis://redis:6379/0", "prefix": "bull"}
SERVED = {"queue": "emails", "redis": REDIS}
ELSEWHERE = Endpoint("redis://other.shop.svc:6379/0", "other.shop.svc:6379/0")
DIGEST = Owner("cluster-1", "shop", "digest", "uid-9")
NOW_MS = 1_000_000
TOLD = {"decidedUntil": "1970-01-01T00:16:40Z"}


def stored(served: Any = SERVED, **spec: Any) -> dict[str, Any]:
    """A JobQueue that serves `served`, with a spec of today."""
    return jobqueue_object(**spec) | {"status": {"served": served, "redis": ENDPOINT.shown}}


def move(left: Left | None = None, **parts: Any) -> Move:
    return Move(**({"queue": "letters", "prefix": "bull", "endpoint": ENDPOINT, "left": left} | parts))


def moving(found: Move, **seen: Any) -> Any:
    return planned(observed(**{"move": found, "status": {"served": SERVED}, "deployment": deployment(1)} | seen))


def test_what_is_served_is_told_once_the_queue_is_claimed_and_stays_while_it_can_not_be_read() -> None:
    told = status_of(planned(observed(deployment=deployment(0))))
    assert told["served"] == SERVED
    away = status_of(planned(observed(deployment=deployment(0), reading=Reading(fault=UNREACHABLE), status=told)))
    assert away["served"] == SERVED
    never = status_of(planned(observed(deployment=deployment(0), reading=Reading(fault=UNREACHABLE), claimed=None)))
    assert "served" not in never, "a Redis with a typing error is left without asking"
    assert "served" not in status_of(planned(observed(reading=reading(owner=MAILS))))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://redis:6379/0", "redis://redis:6379/0"),
        ("redis://me@redis", "redis://me@redis"),
        ("redis://me:s3cret@redis:1/2", f"redis://me:{MASK}@redis:1/2"),
        ("rediss://:s3c:r@et@redis", f"rediss://:{MASK}@redis"),
    ],
)
def test_no_password_goes_into_the_status(url: str, told: str) -> None:
    assert told_redis({"url": url, "prefix": "bull"}) == {"url": told, "prefix": "bull"}
    assert "s3c" not in str(jobqueue(redis={"url": url}).told_redis)


def test_a_spec_that_says_the_same_moves_nothing() -> None:
    obj = stored()
    assert not may_move(obj, parse_jobqueue(obj))
    assert not may_move(stored(served=None), parse_jobqueue(obj))


def test_another_way_to_the_same_place_is_followed_at_once() -> None:
    obj = stored(redis={"urlFrom": {"secretKeyRef": {"name": "redis", "key": "url"}}, "prefix": "bull"})
    wanted = parse_jobqueue(obj)
    assert may_move(obj, wanted)
    settled = settle(obj, wanted, ENDPOINT)
    assert (settled.move, settled.jobqueue.redis) == (None, wanted.redis)


@pytest.mark.parametrize(
    ("spec", "endpoint", "to"),
    [
        ({"queue": "letters"}, ENDPOINT, ("letters", "bull")),
        ({"redis": REDIS | {"prefix": "b2"}}, ENDPOINT, ("emails", "b2")),
        ({"redis": {"url": "redis://other:6379/0", "prefix": "bull"}}, ELSEWHERE, ("emails", "bull")),
        ({"redis": {"url": "redis://gone", "prefix": "bull"}}, Fault("MissingSecret", "create it"), ("emails", "bull")),
    ],
)
def test_another_queue_prefix_or_redis_is_a_move_and_the_old_one_is_served(
    spec: dict[str, Any], endpoint: Endpoint | Fault, to: tuple[str, str]
) -> None:
    obj = stored(**spec)
    settled = settle(obj, parse_jobqueue(obj), endpoint)
    assert settled.move == Move(*to, endpoint)
    served = settled.jobqueue
    assert (served.queue, served.prefix, served.redis.url) == ("emails", "bull", REDIS["url"])


def test_dead_letters_that_are_to_go_to_the_queue_that_is_left_go_where_they_went_by_default() -> None:
    obj = stored(queue="letters", deadLetter={"queue": "emails"})
    assert settle(obj, parse_jobqueue(obj), ENDPOINT).jobqueue.dead_letter_queue == "emails-dlq"


def test_without_the_password_the_old_redis_is_not_tried() -> None:
    masked = {"queue": "emails", "redis": {"url": f"redis://:{MASK}@redis", "prefix": "bull"}}
    assert served_object(stored(served=masked, queue="letters"))["spec"]["redis"] == {"prefix": "bull"}


@pytest.mark.parametrize("served", [5, {}, {"queue": 1, "redis": {}}, {"queue": "a:b", "redis": {}}, {"queue": "q"}])
def test_what_somebody_else_wrote_there_is_not_followed(served: Any) -> None:
    obj = stored(served=served)
    wanted = parse_jobqueue(obj)
    assert not may_move(obj, wanted) or settle(obj, wanted, ENDPOINT).jobqueue == wanted


def test_a_queue_with_jobs_is_served_on_and_the_edit_is_told_with_the_mend() -> None:
    result = moving(move(Left(NOW_MS, 3)), reading=reading(waiting=45))
    assert manifest(result, "Deployment")["spec"]["replicas"] == 5, "its jobs are worked off"
    status = status_of(result)
    assert (status["served"], status["summary"]) == (SERVED, "Degraded: QueueChanged")
    assert conditions(status)["Ready"] == ("False", "QueueChanged")
    told = message(status, "Degraded")
    assert (
        "names queue 'letters' with prefix 'bull' of Redis redis.shop.svc:6379/0, but queue 'emails' of Redis" in told
    )
    assert "has jobs that have not ended" in told and "put spec.queue and spec.redis back" in told
    assert result.check_after_seconds is not None


def test_a_queue_that_can_not_be_read_is_not_left() -> None:
    away = moving(move(None), reading=Reading(fault=UNREACHABLE))
    assert not actions(away, Unfollow)
    assert [fault["reason"] for fault in status_of(away)["faults"]] == ["QueueChanged", "RedisUnreachable"]
    busy = moving(move(None), status=status_of(moving(move(Left(NOW_MS, 3)))))
    assert "has jobs that have not ended" in message(status_of(busy), "Degraded"), "it could not be asked just now"
    refused = moving(move(Left(NOW_MS, 0)), refusal=UNREACHABLE)
    assert not actions(refused, Unfollow), "a run could not be taken back: it is tried again"
    assert conditions(status_of(refused))["Ready"] == ("False", "QueueChanged")
    nowhere = moving(move(Left(NOW_MS, 0), endpoint=Fault("MissingSecret", "create it")))
    assert conditions(status_of(nowhere))["Ready"] == ("False", "MissingSecret")


def test_an_empty_queue_is_left_its_runs_first_and_its_status_last() -> None:
    mark = Mark(DIGEST, decided_ms=NOW_MS, ahead_ms=NOW_MS + 60_000)
    result = moving(move(Left(NOW_MS, 0, (mark,)), scheduled={"uid-9": TOLD}))
    ref = jobqueue().queue_ref
    assert list(result.actions[:4]) == [
        TakeBackRun(ref, "uid-9", forget=True),
        GiveUpClaim(ref, ME),
        Unfollow(),
        WriteStatus({"served": None}, Urgency.NOW),
    ]
    assert result.actions[4].reason == "QueueMoved"
    assert not actions(result, Apply)
    assert result.check_after_seconds == 0


@pytest.mark.parametrize(
    ("mark", "status"),
    [
        # Taken back a moment too late it would run where nobody works any more.
        (Mark(DIGEST, decided_ms=0, ahead_ms=NOW_MS + 2_000), TOLD),
        # It has come due there, and would come due here once more.
        (Mark(DIGEST, decided_ms=0, ahead_ms=NOW_MS - 1_000), {"decidedUntil": "1970-01-01T00:16:00Z"}),
        (Mark(DIGEST, decided_ms=NOW_MS - 1_000), {"decidedUntil": "1970-01-01T00:16:00Z"}),
        (Mark(DIGEST, decided_ms=NOW_MS - 1_000), {}),
        # How it ended is not told yet.
        (Mark(DIGEST, decided_ms=NOW_MS - 1_000), TOLD | {"active": [{"id": "uid-9-999000"}]}),
    ],
)
def test_a_run_that_is_near_or_not_told_of_is_waited_for(mark: Mark, status: dict[str, Any]) -> None:
    result = moving(move(Left(NOW_MS, 0, (mark,)), scheduled={"uid-9": status}))
    assert not actions(result, TakeBackRun) and not actions(result, Unfollow)
    assert conditions(status_of(result))["Degraded"] == ("True", "QueueChanged")
    assert result.check_after_seconds == 0.5


def test_runs_of_what_is_gone_are_waited_for_by_nobody_and_those_of_other_clusters_are_theirs() -> None:
    gone = Mark(DIGEST, decided_ms=NOW_MS)
    other = Mark(Owner("cluster-2", "shop", "digest", "uid-7"), decided_ms=0)
    result = moving(move(Left(NOW_MS, 0, (gone, other))))
    assert [action.uid for action in actions(result, TakeBackRun)] == ["uid-9"]


def test_a_queue_that_another_jobqueue_has_is_left_whatever_it_holds() -> None:
    result = moving(move(Left(NOW_MS, 9)), reading=reading(owner=MAILS))
    assert actions(result, Unfollow)
