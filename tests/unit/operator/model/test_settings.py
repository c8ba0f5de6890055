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
            "CREWLINE_LOG_LEVEL": "DEBUG",
        }
    )
    assert (settings.watch_namespaces, settings.worker_image) == (("a", "b"), "worker:2")
    assert (settings.http_port, settings.log_level) == (9090, "DEBUG")


@pytest.mark.parametrize(
    ("name", "value", "mend"),
    [
        ("CREWLINE_HTTP_PORT", "http", "set it to a number from 0 to 65535"),
        ("CREWLINE_HTTP_PORT", "70000", "set it to a number from 0 to 65535"),
        ("CREWLINE_LOG_LEVEL", "loud", "set it to one of DEBUG, INFO, WARNING, ERROR"),
    ],
)
def test_a_bad_value_is_named_with_what_it_takes(name: str, value: str, mend: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is '{value}': {mend}"):
        settings_from_env({name: value})


def test_help_tells_every_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(
        f"CREWLINE_{name}" in printed
        for name in ("WATCH_NAMESPACES", "WORKER_IMAGE", "HTTP_PORT", "LOG_LEVEL", "RESYNC_SECONDS", "POLL_SECONDS")
    )
