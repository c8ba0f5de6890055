"""The operator's own settings, read once from the environment that the chart sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class SettingsError(Exception):
    """An environment variable of the operator has a value that can't be used."""


@dataclass(frozen=True)
class Settings:
    """What `crewline-operator` can be told. Durations are seconds."""

    #: Namespaces to look after; empty means the whole cluster.
    watch_namespaces: tuple[str, ...] = ()
    worker_image: str = "crewline-worker:latest"
    worker_image_pull_policy: str = "IfNotPresent"
    #: /metrics, /healthz and /readyz; 0 picks a free port.
    http_port: int = 8080
    log_level: str = "INFO"
    #: Reconciles at a time.
    reconcilers: int = 8
    resync_seconds: float = 600.0
    poll_seconds: float = 1.0
    #: Numbers in a status are written this often at most.
    status_seconds: float = 5.0
    #: Statuses written a second at most, of all objects together.
    status_writes_per_second: float = 50.0


def settings_from_env(env: Mapping[str, str]) -> Settings:
    """Read CREWLINE_*; raises SettingsError with the variable's name and what it takes."""
    defaults = Settings()
    return Settings(
        watch_namespaces=tuple(
            name.strip() for name in env.get("CREWLINE_WATCH_NAMESPACES", "").split(",") if name.strip()
        ),
        worker_image=env.get("CREWLINE_WORKER_IMAGE") or defaults.worker_image,
        worker_image_pull_policy=_choice(
            env, "CREWLINE_WORKER_IMAGE_PULL_POLICY", ("Always", "IfNotPresent", "Never"), "IfNotPresent"
        ),
        http_port=int(_number(env, "CREWLINE_HTTP_PORT", defaults.http_port, low=0, high=65535)),
        log_level=_choice(env, "CREWLINE_LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"),
        reconcilers=int(_number(env, "CREWLINE_RECONCILERS", defaults.reconcilers, low=1, high=256)),
        resync_seconds=_number(env, "CREWLINE_RESYNC_SECONDS", defaults.resync_seconds, low=10, high=86400),
        poll_seconds=_number(env, "CREWLINE_POLL_SECONDS", defaults.poll_seconds, low=0.1, high=60),
        status_seconds=_number(env, "CREWLINE_STATUS_SECONDS", defaults.status_seconds, low=0.5, high=600),
        status_writes_per_second=_number(
            env, "CREWLINE_STATUS_WRITES_PER_SECOND", defaults.status_writes_per_second, low=1, high=10000
        ),
    )


def _number(env: Mapping[str, str], name: str, default: float, *, low: float, high: float) -> float:
    text = env.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise SettingsError(f"{name} is {text!r}: set it to a number from {low:g} to {high:g}, or unset it")
    return value


def _choice(env: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = env.get(name) or default
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}: set it to one of {', '.join(allowed)}, or unset it")
    return value
