"""Which queue a JobQueue claims, as far as it is known before its Redis is looked for."""

from __future__ import annotations

from crewline_operator.jobqueue.claim import claim_of, known_claims
from crewline_operator.model.key import Key

from tests.unit.operator.factories import ENDPOINT, jobqueue, jobqueue_object

SECRET = {"urlFrom": {"secretKeyRef": {"name": "redis", "key": "url"}}}


def test_a_url_in_the_spec_tells_the_claim() -> None:
    known = dict(known_claims([jobqueue_object()]))
    assert known == {Key("JobQueue", "shop", "emails"): claim_of(jobqueue(), ENDPOINT.shown)}


def test_a_url_in_a_secret_is_told_by_the_status_and_by_nothing_before_that() -> None:
    fresh = jobqueue_object(redis=SECRET)
    assert dict(known_claims([fresh])) == {}
    seen = fresh | {"status": {"redis": "redis.shop.svc:6379/0"}}
    assert dict(known_claims([seen])) == {jobqueue().key: claim_of(jobqueue(redis=SECRET), "redis.shop.svc:6379/0")}
