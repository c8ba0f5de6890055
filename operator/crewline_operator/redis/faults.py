"""What to tell the user when a Redis can't be reached.

A URL may carry a password: messages of redis-py are passed on only where they can't quote a part of it.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any

from crewline.redis.connection import is_wrong_type
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from crewline_operator.model.fault import PERMISSION_DENIED, TOO_LARGE, WRONG_TYPE, Fault
from crewline_operator.redis.answers import ANSWER_MAX_BYTES, AnswerTooLarge
from crewline_operator.redis.bounded import shown_size


def redis_fault(error: BaseException, shown: str) -> Fault:
    """What an error of redis-py means for the user."""
    # what a script may not do is answered in other words
    if isinstance(error, NoPermissionError) or "can't run this command" in str(error) or "ACL failure" in str(error):
        return Fault(
            PERMISSION_DENIED,
            f"Redis {shown} lets the user that spec.redis names not do what is needed: grant it the queue's "
            "keys and the commands by an ACL rule, or name another user",
        )
    if isinstance(error, AuthenticationError | AuthorizationError) or _is_auth(error):
        return Fault(
            "RedisAuthFailed",
            f"Redis {shown} refuses the login: correct user and password where spec.redis names them",
        )
    if _is_tls(error):
        return Fault(
            "RedisTLSFailed",
            f"Redis {shown} and the operator do not agree on TLS ({_first_line(error)}): its certificate must be for "
            "that host and of the CA in spec.redis.tls.ca; if it asks for one, name spec.redis.tls.clientCertificate",
        )
    if isinstance(error, AnswerTooLarge):
        return Fault(
            TOO_LARGE,
            f"Redis {shown} answers with more than {shown_size(ANSWER_MAX_BYTES)} to what is asked of one queue: "
            "remove what is so large from the queue's keys, and check that it is a Redis",
        )
    if isinstance(error, ClusterDownError | RedisClusterException):
        return Fault(
            "RedisUnreachable",
            f"Redis {shown} can't be reached (nobody serves all slots of the cluster): check the hosts in "
            "spec.redis.cluster, and that all of its nodes run",
        )
    if isinstance(error, BusyLoadingError):
        return Fault("RedisUnreachable", f"Redis {shown} is loading its data: wait until it is done")
    if isinstance(error, ReadOnlyError):
        return Fault("RedisUnreachable", f"Redis {shown} is a read-only replica: point spec.redis at the primary")
    if isinstance(error, TimeoutError) or "imeout" in type(error).__name__:
        return Fault(
            "RedisUnreachable", f"Redis {shown} does not answer in time: check that it runs and that its port is open"
        )
    if isinstance(error, OutOfMemoryError):
        return Fault(
            "RedisFull", f"Redis {shown} is full and takes no writes: give it more memory, or delete what is old"
        )
    if isinstance(error, ResponseError):
        # An answer may quote what it was asked, a login with its password too: only its first word is told.
        return Fault(
            "RedisRefuses",
            f"Redis {shown} answers {_code(error)!r} to what it is asked: check that it is a Redis of release 6.2 or "
            "later, and what its user may do",
        )
    detail = _first_line(error) if isinstance(error, RedisError | OSError) else type(error).__name__
    return Fault(
        "RedisUnreachable",
        f"Redis {shown} can't be reached ({detail}): check host and port in spec.redis, and that it runs",
    )


def refused_key(asked: Sequence[Sequence[Any]], answers: Sequence[Any]) -> Fault | None:
    """Why one queue can't be read by these commands, each of which has a key; raises what is no fault of its keys."""
    for (command, key, *_), answer in zip(asked, answers, strict=True):
        if not isinstance(answer, Exception):
            continue
        if is_wrong_type(answer):
            return Fault(
                WRONG_TYPE,
                f"key {key!r} in Redis is of another type than a queue's: rename or delete it, or give spec.queue "
                "or spec.deadLetter.queue another name",
            )
        if isinstance(answer, NoPermissionError):
            return Fault(
                PERMISSION_DENIED,
                f"the user that spec.redis names may not {str(command).upper()} key {key!r}: grant it the "
                "queue's keys by an ACL rule, or name another user",
            )
        raise answer
    return None


def _is_auth(error: BaseException) -> bool:
    # A server that has a password answers NOAUTH to a client without one, which is a plain ResponseError.
    return isinstance(error, RedisError) and str(error).startswith(("NOAUTH", "WRONGPASS"))


def _is_tls(error: BaseException) -> bool:
    # redis-py passes on what the ssl module says in an error of its own
    return isinstance(error, ssl.SSLError) or "SSL:" in str(error) or "certificate" in str(error).lower()


def _code(error: BaseException) -> str:
    word = str(error).partition(" ")[0]
    return word if word.isalpha() and len(word) <= 20 else type(error).__name__


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200].rstrip(".")
