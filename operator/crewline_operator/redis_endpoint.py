"""Which Redis a JobQueue means, and what to tell the user when it can't be reached.

A URL may carry a password, so it is kept out of logs, statuses and events: `Endpoint.shown` is what may be shown.
Messages of redis-py and urllib are passed on only where they can't quote a part of the URL.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
)

from crewline_operator.api import SECRETS, Api
from crewline_operator.jobqueue import JobQueue

SCHEMES = {"redis": 6379, "rediss": 6379}


@dataclass(frozen=True)
class Fault:
    """Something the user has to mend: a condition's reason, and a message that names what and how."""

    reason: str
    message: str


@dataclass(frozen=True)
class Endpoint:
    """One Redis database as the operator reaches it."""

    url: str = field(repr=False)
    #: host:port/db, without user and password.
    shown: str = field(compare=False)
    #: Changes with the Secret's value and tells nothing about it: its key, the Secret's uid, is random.
    secret_digest: str | None = field(default=None, compare=False)


async def resolve_endpoint(api: Api, jobqueue: JobQueue) -> Endpoint | Fault:
    """Find a JobQueue's Redis; reads its Secret if it names one. Raises what `Api.find` raises."""
    if jobqueue.redis_secret is None:
        return parse_redis_url(jobqueue.redis_url or "", jobqueue.namespace, "spec.redis.url")
    name, key = jobqueue.redis_secret.name, jobqueue.redis_secret.key
    secret = await api.find(SECRETS, jobqueue.namespace, name)
    if secret is None:
        return Fault(
            "MissingSecret",
            f"spec.redis.urlFrom: there is no Secret {name!r} in namespace {jobqueue.namespace!r}: "
            f"create it with the Redis URL in key {key!r}, or name another",
        )
    encoded = (secret.get("data") or {}).get(key)
    if encoded is None:
        return Fault(
            "MissingSecret",
            f"spec.redis.urlFrom: Secret {name!r} has no key {key!r}: add it with the Redis URL, or name another key",
        )
    where = f"key {key!r} of Secret {name!r}"
    try:
        url = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return Fault("InvalidRedisURL", f"{where} is not text: write redis://[user:password@]host:6379/0")
    endpoint = parse_redis_url(url.strip(), jobqueue.namespace, where)
    if isinstance(endpoint, Fault):
        return endpoint
    salt = str(secret["metadata"].get("uid", "")).encode()
    digest = hmac.new(salt, encoded.encode(), hashlib.sha256).hexdigest()[:16]
    return Endpoint(endpoint.url, endpoint.shown, digest)


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


def has_password(url: str) -> bool:
    """Whether a URL carries credentials, which belong into a Secret."""
    try:
        return bool(unquote(urlsplit(url).password or ""))
    except ValueError:
        return False


def redis_fault(error: BaseException, shown: str) -> Fault:
    """What an error of redis-py means for the user."""
    if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError) or _is_auth(error):
        return Fault(
            "RedisAuthFailed",
            f"Redis {shown} refuses the login: correct user and password in the URL that spec.redis names",
        )
    if isinstance(error, BusyLoadingError):
        return Fault("RedisUnreachable", f"Redis {shown} is loading its data: wait until it is done")
    if isinstance(error, ReadOnlyError):
        return Fault("RedisUnreachable", f"Redis {shown} is a read-only replica: point spec.redis at the primary")
    if isinstance(error, TimeoutError) or "imeout" in type(error).__name__:
        return Fault(
            "RedisUnreachable", f"Redis {shown} does not answer in time: check that it runs and that its port is open"
        )
    detail = _first_line(error) if isinstance(error, RedisError | OSError) else type(error).__name__
    return Fault(
        "RedisUnreachable",
        f"Redis {shown} can't be reached ({detail}): check host and port in spec.redis, and that it runs",
    )


def _is_auth(error: BaseException) -> bool:
    # A server that has a password answers NOAUTH to a client without one, which is a plain ResponseError.
    return isinstance(error, RedisError) and str(error).startswith(("NOAUTH", "WRONGPASS", "NOPERM"))


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200].rstrip(".")


def _qualified(host: str, namespace: str) -> str:
    # A worker resolves a bare Service name in its own namespace; the operator runs in another one.
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host if "." in host or host == "localhost" else f"{host}.{namespace}.svc"
    return host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
