"""What to tell the user when a Redis can't be reached.

A URL may carry a password: messages of redis-py are passed on only where they can't quote a part of it.
"""

from __future__ import annotations

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
)

from crewline_operator.model.fault import Fault


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
