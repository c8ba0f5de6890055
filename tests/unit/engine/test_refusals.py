"""Which answers of Redis say that another server may stand behind its address, and which connections go for them."""

from __future__ import annotations

import pytest
from crewline.redis import refusals
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError

#: As Redis 7 writes them on the wire, and as Redis 6 does for what a script came upon.
OF_SERVER = (
    "READONLY You can't write against a read only replica.",
    "READONLY You can't write against a read only replica. script: 86b6, on @user_script:151.",
    "LOADING Redis is loading the dataset in memory",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "CLUSTERDOWN Hash slot not served",
    "MOVED 3999 127.0.0.1:6381",
    "NOREPLICAS Not enough good replicas to write.",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "ERR Error running script (call to f_86b6): @user_script:12: @user_script: 12: -READONLY You can't write against "
    "a read only replica.",
    "ERR Error running script (call to f_86b6): @user_script:12: @user_script: 12: -NOREPLICAS Not enough good "
    "replicas to write.",
)
OF_CALL = (
    "NOSCRIPT No matching script. Please use EVAL.",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "NOPERM this user has no permissions to run the 'evalsha' command",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "ERR unknown command 'READONLY ', with args beginning with:",
)


@pytest.mark.parametrize("answer", OF_SERVER)
def test_answers_that_tell_of_the_server(answer: str) -> None:
    assert refusals.tells_of_server(BaseParser.parse_error(answer))


@pytest.mark.parametrize("answer", OF_CALL)
def test_answers_that_tell_of_the_call(answer: str) -> None:
    assert not refusals.tells_of_server(BaseParser.parse_error(answer))


def test_a_link_that_breaks_is_no_answer() -> None:
    assert not refusals.tells_of_server(ConnectionError("Connection closed by server."))


def test_connections_from_before_are_given_up_and_those_made_since_are_kept_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(refusals.time, "monotonic", lambda: clock[0])
    refused = BaseParser.parse_error(OF_SERVER[0])
    given_up = refusals.GivenUp()
    assert not given_up.take(1.0, BaseParser.parse_error(OF_CALL[0]))
    assert given_up.take(1.0, refused) and given_up.take(99.9, refused)
    clock[0] += refusals.KEPT_SECONDS / 2
    assert given_up.take(99.9, refused)
    assert not given_up.take(100.1, refused)
    clock[0] += refusals.KEPT_SECONDS / 2
    assert given_up.take(100.1, refused)
    assert not given_up.take(clock[0] + 0.1, refused)
