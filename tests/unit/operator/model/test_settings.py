"""The operator's own settings."""

from __future__ import annotations

import pytest
from crewline_operator.main import main
from crewline_operator.model.settings import Settings, SettingsError, settings_from_env


def test_nothing_set_gives_the_defaults() -> None:
    assert settings_from_env({}) == Settings()


def test_what_the_chart_sets_is_read() -> None:
    settings = settings_from_env(
        {
            "CREWLINE_WATCH_NAMESPACES": "a, b,",
            "CREWLINE_WORKER_IMAGE": "worker:2",
            "CREWLINE_HTTP_PORT": "9090",
            "CREWLINE_SCALE_IN_GUARD": "true",
            "CREWLINE_LOG_LEVEL": "DEBUG",
        }
    )
    assert (settings.watch_namespaces, settings.worker_image) == (("a", "b"), "worker:2")
    assert (settings.http_port, settings.log_level, settings.scale_in_guard) == (9090, "DEBUG", True)


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("CREWLINE_HTTP_PORT", "http", "set it to a number from 0 to 65535"),
        ("CREWLINE_HTTP_PORT", "70000", "set it to a number from 0 to 65535"),
        ("CREWLINE_LOG_LEVEL", "loud", "set it to one of DEBUG, INFO, WARNING, ERROR"),
        ("CREWLINE_SCALE_IN_GUARD", "on", "set it to one of true, false"),
        ("CREWLINE_LEADER_LEASE_SECONDS", "0", "set it to a number from 0.5 to 600"),
    ],
)
def test_a_bad_value_is_named_with_what_it_takes(name: str, value: str, mend: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is '{value}': {mend}"):
        settings_from_env({name: value})


@pytest.mark.parametrize(
    "seconds",
    [{"LEASE": "6"}, {"DEADLINE": "7"}, {"RENEW": "4"}, {"LEASE": "15", "DEADLINE": "15"}],
    ids=str,
)
def test_times_of_the_lease_that_let_two_lead_or_none_are_refused(seconds: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="set DEADLINE to no more than four fifths of LEASE"):
        settings_from_env({f"CREWLINE_LEADER_{name}_SECONDS": value for name, value in seconds.items()})


def test_the_usual_times_of_a_lease_can_be_set() -> None:
    usual = {"LEASE": "15", "DEADLINE": "10", "RENEW": "2"}
    settings = settings_from_env({f"CREWLINE_LEADER_{name}_SECONDS": value for name, value in usual.items()})
    assert (settings.lease_seconds, settings.renew_deadline_seconds, settings.renew_seconds) == (15, 10, 2)


def test_help_tells_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(
        f"CREWLINE_{name}" in printed
        for name in (
            "WATCH_NAMESPACES",
            "WORKER_IMAGE",
            "HTTP_PORT",
            "LOG_LEVEL",
            "RESYNC_SECONDS",
            "POLL_SECONDS",
            "SCALE_IN_GUARD",
            "NAMESPACE",
            "LEASE_NAME",
            "LEADER_LEASE_SECONDS",
            "LEADER_DEADLINE_SECONDS",
            "LEADER_RENEW_SECONDS",
        )
    )
