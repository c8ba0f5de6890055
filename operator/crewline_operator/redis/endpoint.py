"""A Redis as a URL names it.

A URL may carry a password, so it is kept out of logs, statuses and events: `Endpoint.shown` is what may be shown.
Messages of urllib are not passed on, since they quote parts of the URL.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qs, urlsplit

from crewline_operator.model.fault import Fault

SCHEMES = {"redis": 6379, "rediss": 6379}


@dataclass(frozen=True)
class Endpoint:
    """One Redis database as the operator reaches it."""

    url: str = field(repr=False)
    #: host:port/db, without user and password.
    shown: str = field(compare=False)
    #: Changes with the Secret's value and tells nothing about it: its key, the Secret's uid, is random.
    secret_digest: str | None = field(default=None, compare=False)


def parse_redis_url(url: str, namespace: str, where: str) -> Endpoint | Fault:
    """Check a URL and make its host one that the operator's pod can resolve too. `where` names it in messages."""
    invalid = Fault("InvalidRedisURL", f"{where} is not a Redis URL: write redis://[user:password@]host:6379/0")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        # redis-py takes the database from the query too, and workers get the URL as it is.
        database = int(parse_qs(parts.query).get("db", [parts.path.strip("/") or "0"])[0])
    except ValueError:
        return invalid
    if parts.scheme not in SCHEMES or not host or database < 0:
        return invalid
    port = port or SCHEMES[parts.scheme]
    host = _qualified(host, namespace)
    user_info = parts.netloc.rpartition("@")[0]
    netloc = f"{user_info}@{_bracketed(host)}:{port}" if user_info else f"{_bracketed(host)}:{port}"
    # redis-py would take any other option from the query too, also those that lift our timeouts.
    absolute = SplitResult(parts.scheme, netloc, f"/{database}", "", "").geturl()
    return Endpoint(absolute, f"{_bracketed(host)}:{port}/{database}")


def _qualified(host: str, namespace: str) -> str:
    # A worker resolves a bare Service name in its own namespace; the operator runs in another one.
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host if "." in host or host == "localhost" else f"{host}.{namespace}.svc"
    return host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
