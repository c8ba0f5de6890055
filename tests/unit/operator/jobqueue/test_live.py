"""What running workers follow: written to Redis when it is another, limits taken back if they are ours, and told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from crewline.wire.backoff import Backoff
from crewline.wire.retention import Keep
from crewline.wire.settings import Settings, read_settings
from crewline_operator.effects.actions import Apply, Drain, WriteSettings, WriteStatus
from crewline_operator.effects.done import Denied
from crewline_operator.jobqueue.live import RETRY_SECONDS, settings_text
from crewline_operator.jobqueue.plan import Plan
from crewline_operator.jobqueue.spec import parse_jobqueue
from crewline_operator.model.demand import Limits
from crewline_operator.model.fault import Fault
from crewline_operator.model.fields import Unreadable
from crewline_operator.model.note import Note
from crewline_operator.model.worker import Worker
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.unit.operator.factories import (
    CLOCK,
    conditions,
    deployment,
    jobqueue,
    jobqueue_object,
    observed,
    pod,
    service_account,
)
from tests.unit.operator.jobqueue.plans import (
    MAILS,
    UNREACHABLE,
    actions,
    in_place,
    manifests,
    planned,
    reading,
    status_of,
)

ALL: dict[str, Any] = {
    "worker": {"handler": "h:h", "concurrency": 7, "timeoutSeconds": 60},
    "defaults": {"attempts": 5, "backoff": {"type": "Fixed", "delaySeconds": 2}},
    "retention": {"completed": {"count": 10}, "failed": {"ageSeconds": 60, "count": 0}},
    "limits": {"rate": {"max": 100, "perSeconds": 2}, "concurrency": 50},
}
IN_FORCE = settings_text(jobqueue())


def written(result: Plan) -> WriteSettings | None:
    return next(iter(actions(result, WriteSettings)), None)


def test_all_that_a_spec_says_of_running_workers_is_in_the_settings_with_its_generation() -> None:
    write = written(planned(observed(reading=reading(settings=None)), **ALL))
    assert write is not None and write.queue == jobqueue().queue_ref
    found, wrong = read_settings(write.text, Settings())
    assert (found, wrong) == (
        Settings(
            generation=4, concurrency=7, timeout_seconds=60, keep_completed=Keep(count=10),
            keep_failed=Keep(count=0, age_seconds=60), attempts=5, backoff=Backoff("fixed", 2),
        ),
        [],
    )  # fmt: skip
    assert json.loads(write.text)["limits"] == {"concurrency": 50, "max": 100, "duration": 2000}
    assert write.limits == {"concurrency": 50, "max": 100, "duration": 2000}


def test_a_spec_that_says_nothing_leaves_to_jobs_and_their_producers_what_is_theirs() -> None:
    write = written(planned(observed(reading=reading(settings=None)), worker={"handler": "h:h"}))
    assert write is not None
    assert json.loads(write.text) == {"generation": 4, "concurrency": 10, "limits": {}}
    assert write.limits == {}


def test_they_are_written_before_a_worker_is_made_or_drained_that_follows_them() -> None:
    seen = observed(
        reading=reading(settings=None), deployment=deployment(2), pods=[pod(1), pod(2)], workers={}, looked=True
    )
    kinds = [type(each) for each in planned(seen, scaling={"mode": "External"}, replicas=1).actions]
    assert kinds.index(WriteSettings) < min(kinds.index(Apply), kinds.index(Drain), kinds.index(WriteStatus))


def test_a_spec_that_was_only_scaled_is_followed_already() -> None:
    earlier = {"generation": 2, "applied": "1/1"}
    stored = settings_text(jobqueue(), generation=2)
    result = live(1, 2, reading=reading(settings=stored), status={"settings": earlier})
    assert written(result) is None
    assert status_of(result)["settings"] == {"generation": 4, "applied": "1/1"}


@pytest.mark.parametrize(("told", "holds"), [(1, False), (2, True), (3, True), (4, True), (5, False), ("x", False)])
def test_what_was_told_of_a_generation_that_said_the_same_needs_no_asking(told: Any, holds: bool) -> None:
    before = {"settings": {"generation": told, "applied": "1/1"}}
    stored = reading(settings=settings_text(jobqueue(), generation=2))
    asks_nobody = live(1, reading=stored, status=before, workers=None, looked=False)
    known = {"generation": 4, "applied": "1/1"} if holds else before["settings"]
    assert status_of(asks_nobody)["settings"] == known


def test_settings_that_an_earlier_jobqueue_has_left_are_followed_as_any_other() -> None:
    """They say the same, of a generation that this one has not come to."""
    stored = reading(settings=settings_text(jobqueue(), generation=57))
    first = live(1, 57, reading=stored)
    assert written(first) is None and not first.looks
    assert status_of(first)["settings"] == {"generation": 4, "applied": "1/1"}
    next_one = live(1, reading=stored, status=status_of(first), workers=None, looked=False)
    assert not next_one.looks and status_of(next_one)["settings"] == {"generation": 4, "applied": "1/1"}
    assert live(1, 4, reading=stored).looks, "a worker that follows others is asked again"


@pytest.mark.parametrize("generation", [0, None, "x", -1])
def test_settings_of_no_generation_are_nobodys(generation: Any) -> None:
    stored = json.dumps(json.loads(IN_FORCE) | {"generation": generation})
    assert written(planned(observed(reading=reading(settings=stored)))) is not None


def test_nothing_is_written_that_is_there_already() -> None:
    result = planned(observed(deployment=deployment(2), reading=reading(settings=IN_FORCE)))
    assert written(result) is None
    changed = planned(observed(reading=reading(settings='{"generation": 4, "concurrency": 9}')))
    assert written(changed) is not None, "what somebody else has put there is mended"
    assert changed.check_after_seconds is not None and changed.check_after_seconds <= RETRY_SECONDS


def test_what_redis_does_not_take_is_a_fault_until_it_does_and_asked_for_at_intervals() -> None:
    fault = Fault("RedisFull", "what the workers are to follow can't be written: ...")
    denied = {"deployment": deployment(0), "settings_denied": Denied(fault, CLOCK - 1)}
    waits = planned(observed(reading=reading(settings=None), **denied))
    assert written(waits) is None
    assert conditions(status_of(waits))["Degraded"] == ("True", "RedisFull")
    assert [note.reason for note in actions(waits, Note)] == ["RedisFull"]
    again = planned(observed(reading=reading(settings=None), **denied, clock=CLOCK - 1 + RETRY_SECONDS))
    assert written(again) is not None
    assert conditions(status_of(again))["Degraded"] == ("True", "RedisFull"), "until it was taken"
    there = planned(observed(reading=reading(settings=IN_FORCE), **denied))
    assert conditions(status_of(there))["Degraded"] == ("False", "AsExpected"), "somebody has written it"


@pytest.mark.parametrize(
    "seen",
    [
        {"reading": UNREACHABLE},
        {"reading": reading(settings=None, owner=MAILS)},
        {"reading": reading(settings=None, owner=None)},
        {"reading": reading(settings=None), "refusal": Fault("ApplyRefused", "no")},
    ],
)
def test_only_the_settings_of_a_queue_that_is_read_and_claimed_are_written(seen: dict[str, Any]) -> None:
    if isinstance(seen["reading"], Fault):
        seen = {"reading": type(reading())(fault=seen["reading"])}
    assert written(planned(observed(**seen))) is None


def test_a_change_of_what_workers_follow_rolls_no_pod() -> None:
    children = {"deployment": deployment(2), "service_account": service_account()}
    first = planned(observed(**children))
    again = planned(
        observed(**children, applied=in_place(first, **children)),
        worker=jobqueue_object()["spec"]["worker"] | {"concurrency": 3, "timeoutSeconds": 5},
        **{name: ALL[name] for name in ("defaults", "retention", "limits")},
    )
    assert manifests(again) == []
    assert written(again) is not None


# -- what is told of it


def live(pods: int, *followed: int | None, **parts: Any) -> Plan:
    workers = {f"pod-{number}": Worker(known=True, settings=each) for number, each in enumerate(followed)}
    seen = {"pods": [pod(number) for number in range(pods)], "workers": workers, "looked": True}
    return planned(observed(**({"deployment": deployment(pods), "reading": reading(settings=IN_FORCE)} | seen | parts)))


def test_the_status_tells_the_generation_and_how_many_ready_workers_follow_it() -> None:
    some = live(3, 4, 3, None)
    assert status_of(some)["settings"] == {"generation": 4, "applied": "1/3"}
    assert some.looks, "it is looked at until all do"
    every = live(3, 4, 4, 4)
    assert status_of(every)["settings"] == {"generation": 4, "applied": "3/3"}
    assert not every.looks
    none = live(0)
    assert status_of(none)["settings"] == {"generation": 4, "applied": "0/0"} and not none.looks


@pytest.mark.parametrize(("workers", "writes"), [(0, 0), (1, 1)])
def test_what_nobody_follows_yet_is_told_when_there_is_time_for_it(workers: int, writes: int) -> None:
    told = status_of(live(workers, *[4] * workers)) | {"settings": {"generation": 3, "applied": f"{workers}/{workers}"}}
    result = live(workers, *[4] * workers, status=told, status_age_seconds=1.0)
    assert len(actions(result, WriteStatus)) == writes


def test_a_new_generation_counts_once_it_is_in_redis() -> None:
    result = live(1, 4, reading=reading(settings=settings_text(jobqueue(**ALL), generation=3)))
    assert status_of(result)["settings"] == {"generation": 3, "applied": "0/1"}
    assert written(result) is not None


@pytest.mark.parametrize("unread", [{"workers": None}, {"reading": type(reading())(fault=UNREACHABLE)}])
def test_what_was_told_stays_while_it_can_not_be_read(unread: dict[str, Any]) -> None:
    before = {"settings": {"generation": 3, "applied": "2/2"}}
    assert status_of(live(2, status=before, **unread))["settings"] == before["settings"]


def test_another_program_is_told_by_its_environment_and_is_not_asked() -> None:
    foreign = {"command": ["node", "w.js"], "image": "w", "concurrency": 3, "timeoutSeconds": 9}
    stored = settings_text(jobqueue(worker=foreign))
    asked = {"pods": [pod(1), pod(2)], "workers": {}, "looked": True}
    seen = observed(deployment=deployment(2), reading=reading(settings=stored), **asked)
    result = planned(seen, worker=foreign)
    assert status_of(result)["settings"] == {"generation": 4}
    assert not result.looks
    (rolled,) = [each for each in manifests(result) if each["kind"] == "Deployment"]
    env = {each["name"]: each.get("value") for each in rolled["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert (env["CREWLINE_CONCURRENCY"], env["CREWLINE_TIMEOUT_SECONDS"]) == ("3", "9")


# -- limits are everybody's

SET = settings_text(jobqueue(limits={"concurrency": 5, "rate": {"max": 7}}))


@pytest.mark.parametrize(
    ("there", "taken_away"),
    [
        (Limits(5, 7, 1000), {"concurrency": None, "max": None, "duration": None}),
        (Limits(9, 7, 1000), {"max": None, "duration": None}),
        (Limits(5, 7, 9000), {"concurrency": None}),
        (Limits(5), {"concurrency": None}),
        (Limits(), {}),
    ],
)
def test_a_limit_that_is_named_no_more_is_taken_away_if_nobody_has_set_another(
    there: Limits, taken_away: dict[str, None]
) -> None:
    write = written(planned(observed(reading=reading(settings=SET, limits=there))))
    assert write is not None and write.limits == taken_away
    assert json.loads(write.text)["limits"] == {}


VALUES = st.none() | st.integers(1, 3)
GROUPS = {"concurrency": ("concurrency",), "rate": ("max", "duration")}


class Limited(RuleBasedStateMachine):
    """A queue whose limits a spec names, or names no more, and that people set by hand, too."""

    def __init__(self) -> None:
        super().__init__()
        self.meta: dict[str, int] = {}
        self.settings: str | None = None
        self.spec: dict[str, Any] = {}
        #: Limits as this JobQueue has set them, as far as Redis knows of that.
        self.ours: dict[str, dict[str, int]] = {}

    def plan(self) -> WriteSettings | None:
        limits = Limits(self.meta.get("concurrency"), self.meta.get("max"), self.meta.get("duration"))
        seen = observed(reading=reading(settings=self.settings, limits=limits))
        return written(planned(seen, limits=self.spec))

    @rule(value=VALUES)
    def name_concurrency(self, value: int | None) -> None:
        self.spec.pop("concurrency", None)
        self.spec |= {} if value is None else {"concurrency": value}

    @rule(value=VALUES)
    def name_rate(self, value: int | None) -> None:
        self.spec.pop("rate", None)
        self.spec |= {} if value is None else {"rate": {"max": value}}

    @rule(group=st.sampled_from(sorted(GROUPS)), value=VALUES)
    def by_hand(self, group: str, value: int | None) -> None:
        for name in GROUPS[group]:
            self.meta.pop(name, None)
        if value is not None:
            self.meta |= {"concurrency": value} if group == "concurrency" else {"max": value, "duration": 1000}

    @rule(stored=st.sampled_from([None, "{", "[]", '{"limits": 5}', '{"limits": {"concurrency": "x"}}']))
    def settings_by_hand(self, stored: str | None) -> None:
        self.settings = stored
        # whose these are is forgotten, unless the spec says so
        self.ours.clear()

    @rule()
    def reconcile(self) -> None:
        left = {name: value for group in GROUPS if not self._is_ours(group) for name, value in self.now(group).items()}
        write = self.plan()
        if write is not None:
            self.settings = write.text
            self.meta = {name: value for name, value in (self.meta | dict(write.limits)).items() if value is not None}
        assert self.plan() is None, "one write is enough"
        wanted = {"concurrency": self.spec["concurrency"]} if "concurrency" in self.spec else {}
        wanted |= {"max": self.spec["rate"]["max"], "duration": 1000} if "rate" in self.spec else {}
        assert self.meta == left | wanted
        self.ours = {group: self.now(group) for group in self.spec}

    def now(self, group: str) -> dict[str, int]:
        return {name: self.meta[name] for name in GROUPS[group] if name in self.meta}

    def _is_ours(self, group: str) -> bool:
        """Whether a limit is as it was set here: who takes it away and sets the same again is not told from that."""
        return self.ours.get(group) == self.now(group)


TestLimits = Limited.TestCase
TestLimits.settings = hypothesis_settings(max_examples=100, stateful_step_count=20, deadline=None)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"defaults": {"attempts": 0}}, "spec.defaults.attempts is '0', not a whole number from 1"),
        ({"defaults": {"backoff": {"type": "exponential"}}}, "spec.defaults.backoff.type is 'exponential', not Exp"),
        ({"defaults": {"backoff": {"jitter": 2}}}, "spec.defaults.backoff.jitter is '2', not a number from 0 to 1"),
        ({"retention": {"failed": {"count": -1}}}, "spec.retention.failed.count is '-1', not a whole number from 0"),
        ({"limits": {"rate": {}}}, "spec.limits.rate.max is missing"),
        ({"limits": {"concurrency": True}}, "spec.limits.concurrency is 'True', not a whole number from 1"),
        ({"worker": {"handler": "h:h", "concurrency": 2**60}}, "spec.worker, spec.defaults or spec.retention: concurr"),
    ],
)
def test_what_can_not_be_followed_is_told_by_its_field(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(Unreadable) as caught:
        parse_jobqueue(jobqueue_object(**spec))
    assert caught.value.fault.message.startswith(message)
