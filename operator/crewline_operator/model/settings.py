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
    #: Where the Lease is by which one of several operators leads, and its name.
    namespace: str = "default"
    lease_name: str = "crewline-operator"
    #: The pod that this process runs in; empty outside of one.
    pod_name: str = ""
    pod_uid: str = ""
    #: See kube/election.py.
    lease_seconds: float = 8.0
    renew_deadline_seconds: float = 6.0
    renew_seconds: float = 2.0
    #: /metrics, /healthz and /readyz; 0 picks a free port.
    http_port: int = 8080
    log_level: str = "INFO"
    #: Reconciles at a time.
    reconcilers: int = 8
    resync_seconds: float = 600.0
    poll_seconds: float = 1.0
    #: The cluster lets a ReplicaSet kill no worker's pod that is ready and not marked: the chart's guard.
    scale_in_guard: bool = False
    #: Numbers in a status are written this often at most.
    status_seconds: float = 5.0
    #: Statuses written a second at most, of all objects together.
    status_writes_per_second: float = 50.0

    @property
    def operator(self) -> str:
        """By what this operator is told from others: those with the same Lease are one."""
        return f"{self.namespace}/{self.lease_name}"


def settings_from_env(env: Mapping[str, str]) -> Settings:
    """Read CREWLINE_*; raises SettingsError with the variable's name and what it takes."""
    defaults = Settings()
    lease_seconds, deadline, renew = (
        _number(env, f"CREWLINE_LEADER_{name}_SECONDS", default, low=0.5, high=600)
        for name, default in (
            ("LEASE", defaults.lease_seconds),
            ("DEADLINE", defaults.renew_deadline_seconds),
            ("RENEW", defaults.renew_seconds),
        )
    )
    if not (2 * renew <= deadline <= 0.8 * lease_seconds):
        raise SettingsError(
            f"CREWLINE_LEADER_*_SECONDS are {lease_seconds:g} (LEASE), {deadline:g} (DEADLINE) and {renew:g} (RENEW): "
            "set DEADLINE to no more than four fifths of LEASE, and RENEW to no more than half of DEADLINE"
        )
    return Settings(
        watch_namespaces=tuple(
            name.strip() for name in env.get("CREWLINE_WATCH_NAMESPACES", "").split(",") if name.strip()
        ),
        worker_image=env.get("CREWLINE_WORKER_IMAGE") or defaults.worker_image,
        worker_image_pull_policy=_choice(
            env, "CREWLINE_WORKER_IMAGE_PULL_POLICY", ("Always", "IfNotPresent", "Never"), "IfNotPresent"
        ),
        namespace=env.get("CREWLINE_NAMESPACE") or defaults.namespace,
        lease_name=env.get("CREWLINE_LEASE_NAME") or defaults.lease_name,
        pod_name=env.get("CREWLINE_POD_NAME", ""),
        pod_uid=env.get("CREWLINE_POD_UID", ""),
        lease_seconds=lease_seconds,
        renew_deadline_seconds=deadline,
        renew_seconds=renew,
        http_port=int(_number(env, "CREWLINE_HTTP_PORT", defaults.http_port, low=0, high=65535)),
        log_level=_choice(env, "CREWLINE_LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR"), "INFO"),
        reconcilers=int(_number(env, "CREWLINE_RECONCILERS", defaults.reconcilers, low=1, high=256)),
        resync_seconds=_number(env, "CREWLINE_RESYNC_SECONDS", defaults.resync_seconds, low=10, high=86400),
        poll_seconds=_number(env, "CREWLINE_POLL_SECONDS", defaults.poll_seconds, low=0.1, high=60),
        scale_in_guard=_choice(env, "CREWLINE_SCALE_IN_GUARD", ("true", "false"), "false") == "true",
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
