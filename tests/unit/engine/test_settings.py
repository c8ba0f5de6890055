"""A queue's settings: written whole, read each by itself, a bad one named."""

from __future__ import annotations

import json
from typing import Any

import pytest
from crewline import Backoff, InvalidOption, Keep
from crewline.wire.settings import Settings, read_settings
from crewline.worker.registry.live import LiveSettings

ALL = Settings(
    generation=7, concurrency=20, paused=True, rate=(100, 1.5), keep_completed=Keep(count=10),
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


def test_what_is_not_set_is_not_written() -> None:
    assert json.loads(Settings(generation=1, paused=False).to_json()) == {"generation": 1, "paused": False}


def test_unknown_names_are_ignored() -> None:
    assert read_settings('{"generation": 2, "colour": "red", "concurrency": null}', ALL) == (Settings(2), [])


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("generation", -1), ("generation", "2"),
        ("concurrency", 0), ("concurrency", 2.5), ("concurrency", True), ("concurrency", "many"),
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
