"""A Redis as a URL names it.

Messages of urllib and of the engine are not passed on, since they may quote parts of the URL: of a password.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, parse_qs, urlsplit

from crewline.errors import InvalidOption
from crewline.redis.address import parse_url

from crewline_operator.model.fault import Fault
from crewline_operator.redis.endpoint import Endpoint

SCHEMES = {"redis": 6379, "rediss": 6379}


def parse_redis_url(url: str, namespace: str, where: str) -> Endpoint | Fault:
    """Check a URL and make its host one that the operator's pod can resolve too. `where` names it in messages."""
    invalid = Fault(
        "InvalidRedisURL",
        f"{where} is not a Redis URL: write redis://[user:password@]host:6379/0, with %23 for #, %3F for ?, %2F for / "
        "and %40 for @ in user and password",
    )
    try:
        # as workers read it: what they would refuse is told here
        parse_url(url)
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        # redis-py takes the database from the query too, and workers get the URL as it is.
        database = int(parse_qs(parts.query).get("db", [parts.path.strip("/") or "0"])[0])
    except (ValueError, InvalidOption):
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
