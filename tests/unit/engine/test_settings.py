"""A queue's settings: written whole, read each by itself, a bad one named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from crewline import Backoff, InvalidOption, Job, Keep, Worker
from crewline.wire.settings import Settings, read_settings
from crewline.worker.registry.live import REFUSED_MAX_CHARS, LiveSettings
from hypothesis import given, settings
from hypothesis import strategies as st

ALL = Settings(
    generation=7, concurrency=20, timeout_seconds=2.5, paused=True, rate=(100, 1.5), keep_completed=Keep(count=10),
    keep_failed=Keep(age_seconds=60), attempts=5, backoff=Backoff("exponential", 2.0, 0.25),
)  # fmt: skip


def test_what_was_written_is_read() -> None:
    assert read_settings(ALL.to_json(), Settings()) == (ALL, [])
    named = Settings(backoff=Backoff.named("linear", 3.0))
    assert read_settings(named.to_json(), Settings()) == (named, [])


def test_settings_that_could_not_be_applied_come_again() -> None:
    applied: list[Settings] = []

    def apply(settings: Settings) -> None:
        if not applied:
            applied.append(settings)
            raise ZeroDivisionError("a bug")
        applied.append(settings)

    live, stored = LiveSettings("emails", apply), ALL.to_json().encode()
    with pytest.raises(ZeroDivisionError):
        live.receive(stored)
    # as the heartbeat asks for what this worker has not applied
    assert (live.sha, live.generation) == ("", 0)
    live.receive(stored)
    assert live.sha and live.generation == 7


KEEPS = st.none() | st.builds(Keep, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9))
SETTINGS = st.builds(
    Settings, st.integers(0, 9), st.none() | st.integers(1, 9), st.none() | st.floats(0.5, 9),
    st.none() | st.booleans(), st.none() | st.tuples(st.integers(1, 9), st.floats(0.5, 9)), KEEPS, KEEPS,
    st.none() | st.integers(1, 9),
    st.none() | st.builds(Backoff, st.sampled_from(["fixed", "exponential"]), st.floats(0, 9), st.floats(0, 1)),
)  # fmt: skip
#: What anybody may have written there, or taken away.
ANYTHING = SETTINGS.map(lambda each: each.to_json().encode()) | st.sampled_from(
    [b"", b"{", b"[]", b"\xff", b'{"concurrency": 0, "rate": 5}', b'{"attempts": "many", "timeout_seconds": 0}']
)


async def handle(job: Job) -> None: ...


class Follower:
    """A worker that was made with options of its own, and what it does by them and by settings."""

    def __init__(self) -> None:
        self.worker = Worker("emails", handle, concurrency=4, timeout_seconds=30, rate=(5, 1), keep_completed=Keep(3))
        self.live = LiveSettings("emails", self.worker._tuning.follow)

    def told(self) -> dict[str, Any]:
        worker, verdicts = self.worker, self.worker._executor._verdicts
        return {
            "concurrency": worker.concurrency, "threads": worker._calling._threads._pool._size,
            "paused": worker._slots.is_shut(), "timeout": worker._calling.timeout_seconds,
            "loop": worker._loop_watch._bound, "rate": worker._committer._told["rate"],
            "generation": self.live.generation,
            "keep": (verdicts.keep_completed, verdicts.keep_failed, worker._maintainer._keep),
            "retry": (worker.queue.default_attempts, verdicts.default_backoff),
        }  # fmt: skip


def test_each_setting_goes_before_what_the_worker_was_made_with() -> None:
    follower = Follower()
    follower.live.receive(ALL.to_json().encode())
    assert follower.told() == {
        "concurrency": 20, "threads": 20, "paused": True, "timeout": 2.5, "loop": 2.5 + 30, "rate": (100, 1500),
        "generation": 7, "keep": (Keep(10), Keep(None, 60), {"completed": Keep(10), "failed": Keep(None, 60)}),
        "retry": (5, {"type": "exponential", "delay": 2000, "jitter": 0.25}),
    }  # fmt: skip


@settings(deadline=None)
@given(st.lists(ANYTHING), SETTINGS.map(lambda each: each.to_json().encode()) | st.just(b""))
def test_whatever_was_in_force_before_the_last_settings_are_what_counts(before: list[bytes], last: bytes) -> None:
    follower, fresh = Follower(), Follower()
    for each in [*before, last]:
        follower.live.receive(each)
    fresh.live.receive(last)
    assert follower.told() == fresh.told()
    follower.live.receive(b"")
    assert follower.told() == Follower().told(), "without settings a worker is as it was made"


def test_what_is_refused_is_kept_short_however_long_the_value_is() -> None:
    live = LiveSettings("emails", lambda settings: None)
    live.receive(json.dumps({"concurrency": "x" * 100_000}).encode())
    (told,) = live.refused
    assert told.startswith("concurrency 'xxx") and len(told) < REFUSED_MAX_CHARS + 50
    live.receive(b'{"concurrency": 5}')
    assert live.refused == []


def test_what_is_not_set_is_not_written() -> None:
    assert json.loads(Settings(generation=1, paused=False).to_json()) == {"generation": 1, "paused": False}


def test_unknown_names_are_ignored() -> None:
    assert read_settings('{"generation": 2, "colour": "red", "concurrency": null}', ALL) == (Settings(2), [])


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("generation", -1), ("generation", "2"),
        ("concurrency", 0), ("concurrency", 2.5), ("concurrency", True), ("concurrency", "many"),
        ("timeout_seconds", 0), ("timeout_seconds", "1"), ("timeout_seconds", True), ("timeout_seconds", 1e400),
        ("paused", 1), ("paused", "yes"),
        ("rate", 5), ("rate", [0, 1]), ("rate", [5, 0]), ("rate", [5]), ("rate", ["5", 1]), ("rate", [1e400, 1]),
        ("keep_completed", 5), ("keep_completed", {"count": -1}), ("keep_completed", {"number": 1}),
        ("keep_failed", {"age_seconds": "1"}), ("keep_failed", {"age_seconds": True}),
        ("attempts", 0),
        ("backoff", "fixed"), ("backoff", {"delay_seconds": 1}), ("backoff", {"type": "fixed", "delay_seconds": -1}),
        ("backoff", {"type": "fixed", "delay_seconds": "1"}), ("backoff", {"type": "fixed", "jitter": 2}),
        ("backoff", {"type": "fixed", "delay_seconds": 1e400}),
    ],
)  # fmt: skip
def test_a_bad_value_keeps_the_old_one_and_is_named_and_the_others_are_taken(name: str, bad: Any) -> None:
    good = {"generation": 8, "concurrency": 30, "paused": False}
    found, wrong = read_settings(json.dumps({**good, name: bad}).replace("Infinity", "1e400"), ALL)
    assert len(wrong) == 1 and wrong[0].startswith(name) and wrong[0].endswith(" stays")
    assert getattr(found, name) == getattr(ALL, name)
    assert [getattr(found, other) for other in good if other != name] == [
        value for other, value in good.items() if other != name
    ]


@pytest.mark.parametrize("stored", ["", "{", "[]", "5", b"\xff", '{"concurrency": NaN}'])
def test_what_is_no_json_object_changes_nothing(stored: str | bytes) -> None:
    found, wrong = read_settings(stored, ALL)
    assert found == ALL and len(wrong) == 1 and "the whole" in wrong[0]


def test_a_writer_is_refused_a_bad_value_by_name() -> None:
    with pytest.raises(InvalidOption, match="concurrency 0 must be an integer of 1 or more"):
        Settings(concurrency=0)
    with pytest.raises(InvalidOption, match="keep count -1 must be an integer of 0 or more"):
        Settings(keep_failed=Keep(count=-1))
