"""A JobQueue that another schema has let in: it is read, or it is told what can't be."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from crewline_operator.effects.actions import Action, WriteStatus
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.plan import plan, plan_unreadable
from crewline_operator.jobqueue.spec import parse_jobqueue
from crewline_operator.kube.store import Store
from crewline_operator.loop.intake import Intake
from crewline_operator.loop.workqueue import WorkQueue
from crewline_operator.model.fields import Unreadable
from crewline_operator.model.key import Key, status_of
from crewline_operator.model.note import Note
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.operator.factories import NOW, conditions, deployment, jobqueue_object, observed, patched
from tests.unit.operator.garbage import ANYTHING, spoiled
from tests.unit.operator.jobqueue.plans import SETTINGS, WITH_CODE, planned, reading
from tests.unit.operator.jobqueue.plans import status_of as planned_status

STATUS = planned_status(planned(observed(deployment=deployment(2), reading=reading(waiting=15))))
FULL = jobqueue_object(
    **WITH_CODE,
    deadLetter={"queue": "dead"},
    scaling={
        "mode": "External",
        "target": {"jobsPerReplica": 4},
        "behavior": {"stableWindowSeconds": 30},
        "fallback": {"replicas": 2},
        "hold": True,
        "minReplicas": 1,
    },
    replicas=2,
    defaults={"attempts": 5, "backoff": {"type": "Fixed", "delaySeconds": 2, "jitter": 0.5}},
    retention={"completed": {"count": 10}, "failed": {"ageSeconds": 60}},
    limits={"rate": {"max": 100, "perSeconds": 2}, "concurrency": 50},
)


def reconciled(obj: dict[str, Any]) -> list[Action]:
    """What is done for a JobQueue as it is stored."""
    try:
        jobqueue = parse_jobqueue(obj)
    except Unreadable as unreadable:
        return plan_unreadable(obj, unreadable.fault, NOW)
    seen: Observed = observed(status=status_of(obj), deployment=deployment(1), reading=reading(waiting=15))
    return [*plan(jobqueue, seen, SETTINGS).actions]


@settings(max_examples=500, deadline=None)
@given(spoiled(FULL["spec"]), spoiled(STATUS) | ANYTHING)
def test_whatever_is_stored_is_planned_for_or_told(spec: Any, status: Any) -> None:
    obj = FULL | {"spec": spec, "status": status}
    store = Store()
    intake = Intake(store=store, work=WorkQueue[Key](), on_pod=lambda _: None)
    intake.on_list("JobQueue", [obj], 12, None)
    intake.on_object("JobQueue", obj, gone=False)
    assert list(store.jobqueues)
    reconciled(obj)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["redis", "worker"]), ANYTHING)
def test_what_can_not_be_read_is_said_once(part: str, value: Any) -> None:
    obj = jobqueue_object(**{part: value})
    with contextlib.suppress(Unreadable):
        parse_jobqueue(obj)
        return
    write, note = reconciled(obj)
    assert isinstance(write, WriteStatus)
    assert isinstance(note, Note)
    status = patched({}, dict(write.patch))
    assert conditions(status) == {"Ready": ("False", "InvalidSpec"), "Degraded": ("True", "InvalidSpec")}
    assert status["summary"] == "Degraded: InvalidSpec"
    assert reconciled(obj | {"status": status}) == []


MESSAGES = [
    ({"redis": None}, "spec.redis is missing: apply the object again in the form that kubectl explain shows"),
    ({"worker": {"concurrency": "many"}}, "spec.worker.concurrency is 'many', not a whole number from 1: "),
    ({"scaling": {"mode": "operator"}}, "spec.scaling.mode is 'operator', not Operator or External: apply the object"),
    ({"scaling": {"fallback": {}}}, "spec.scaling.fallback.replicas is missing: "),
    ({"worker": {"env": [{"name": "A"}, 5]}}, "spec.worker.env[1] is '5', not an object: "),
    (
        {"redis": {"urlFrom": {"secretKeyRef": {"name": "../../other/secrets/redis", "key": "url"}}}},
        "spec.redis.urlFrom.secretKeyRef.name is '../../other/secrets/redis', not an object's name",
    ),
    ({"worker": {"code": {"configMap": "a/b"}}}, "spec.worker.code.configMap is 'a/b', not an object's name"),
    ({"queue": "a:b"}, "spec.queue, spec.deadLetter.queue or spec.redis.prefix: queue name 'a:b' must not contain ':'"),
    (
        {"queue": "mail", "deadLetter": {"queue": "mail"}},
        "spec.queue, spec.deadLetter.queue or spec.redis.prefix: dead_letter_queue 'mail' must not be the queue itself",
    ),
    ({"redis": {"urlFrom": {"secretKeyRef": {"name": "r"}}}}, "spec.redis.urlFrom.secretKeyRef.key is missing: "),
    ({"redis": {}}, "spec.redis has not exactly one of url, urlFrom, sentinel, cluster: apply the object again"),
    ({"redis": {"cluster": {}}}, "spec.redis.cluster.hosts is missing: "),
    (
        {"redis": {"url": "redis://r", "passwordFrom": {"secretKeyRef": {"name": "a/b", "key": "k"}}}},
        "spec.redis.passwordFrom.secretKeyRef.name is 'a/b', not an object's name",
    ),
    (
        {"redis": {"url": "rediss://r", "tls": {"ca": {"configMapKeyRef": {"name": "a/b", "key": "k"}}}}},
        "spec.redis.tls.ca.configMapKeyRef.name is 'a/b', not an object's name",
    ),
    (
        {"redis": {"url": "rediss://r", "tls": {"clientCertificate": {"secretName": "a/b"}}}},
        "spec.redis.tls.clientCertificate.secretName is 'a/b', not an object's name",
    ),
]


@pytest.mark.parametrize(("spec", "message"), MESSAGES)
def test_the_field_that_can_not_be_read_is_named(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(Unreadable) as unreadable:
        parse_jobqueue(jobqueue_object(**spec))
    assert unreadable.value.fault.message.startswith(message)


def test_what_is_known_of_the_workers_stays_in_the_status_of_what_can_not_be_read() -> None:
    obj = jobqueue_object(worker=5) | {"status": STATUS}
    write, _ = reconciled(obj)
    assert isinstance(write, WriteStatus)
    assert set(write.patch) == {"summary", "faults", "conditions"}
    kept = conditions(patched(STATUS, dict(write.patch)))
    assert kept["ScalingActive"] == conditions(STATUS)["ScalingActive"]
    assert kept["Ready"] == ("False", "InvalidSpec")
