"""How workers reach their Redis: what they are told in their environment, and the files of TLS.

Passwords stay in their Secrets: the kubelet reads them for a worker when it starts.
"""

from __future__ import annotations

from typing import Any

from crewline_operator.jobqueue.redis_spec import SECRET, KeyRef, RedisSpec

VOLUME = "redis-tls"
PATH = "/etc/crewline/redis"
#: What tells a worker of its files, by their names.
FILE_VARIABLES = {
    "ca.crt": "CREWLINE_REDIS_CA_FILE",
    "tls.crt": "CREWLINE_REDIS_CERT_FILE",
    "tls.key": "CREWLINE_REDIS_KEY_FILE",
}


def redis_env(redis: RedisSpec) -> list[dict[str, Any]]:
    """The variables that `crewline worker` completes its URL from, the URL among them."""
    env = [{"name": "CREWLINE_REDIS_URL"} | _from(redis.url_from, redis.url or "")]
    for name, ref, value in (
        ("CREWLINE_REDIS_USERNAME", None, redis.username),
        ("CREWLINE_REDIS_PASSWORD", redis.password_from, ""),
        ("CREWLINE_REDIS_SENTINEL_USERNAME", None, redis.sentinel_username),
        ("CREWLINE_REDIS_SENTINEL_PASSWORD", redis.sentinel_password_from, ""),
    ):
        if ref is not None or value:
            env.append({"name": name} | _from(ref, value))
    return env + [{"name": FILE_VARIABLES[name], "value": f"{PATH}/{name}"} for name in redis.files]


def tls_volumes(redis: RedisSpec) -> list[dict[str, Any]]:
    """One volume with all files, none where there are none: a volume makes a pod start later."""
    if not redis.files:
        return []
    sources = [_source(name, ref) for name, ref in redis.files.items()]
    return [{"name": VOLUME, "projected": {"defaultMode": 0o440, "sources": sources}}]


def tls_mounts(redis: RedisSpec) -> list[dict[str, Any]]:
    """Where it is."""
    return [{"name": VOLUME, "mountPath": PATH, "readOnly": True}] if redis.files else []


def _from(ref: KeyRef | None, value: str) -> dict[str, Any]:
    return {"value": value} if ref is None else {"valueFrom": {"secretKeyRef": {"name": ref.name, "key": ref.key}}}


def _source(file: str, ref: KeyRef) -> dict[str, Any]:
    kind = "secret" if ref.kind == SECRET else "configMap"
    return {kind: {"name": ref.name, "items": [{"key": ref.key, "path": file}]}}
