"""Which errors may be of what a call carries, so that each of its results is sent by itself."""

from __future__ import annotations

import pytest
from crewline.worker.calls.refused import may_be_of_results
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError, DataError

#: As Redis 7 writes them on the wire, and as Redis 6 does.
OF_RESULTS = (
    "WRONGTYPE Operation against a key holding the wrong kind of value script: 86b6, on @user_script:151.",
    "NOPERM The user executing the script can't access at least one of the keys mentioned in the command arguments "
    "script: 86b6, on @user_script:1.",
    "ERR user_script:12: attempt to index a nil value script: 86b6, on @user_script:12.",
    "ERR Error running script (call to f_86b6): @user_script:12: WRONGTYPE Operation against a key holding the wrong "
    "kind of value",
)
NOT_OF_RESULTS = (
    "OOM command not allowed when used memory > 'maxmemory'. script: 86b6, on @user_script:1.",
    "ERR Error running script (call to f_86b6): @user_script:12: @user_script: 12: -OOM command not allowed when used "
    "memory > 'maxmemory'.",
    "READONLY You can't write against a read only replica. script: 86b6, on @user_script:151.",
    "NOPERM this user has no permissions to run the 'evalsha' command",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "LOADING Redis is loading the dataset in memory",
)


@pytest.mark.parametrize("answer", OF_RESULTS)
def test_what_a_script_came_upon_may_be_of_its_results(answer: str) -> None:
    assert may_be_of_results(BaseParser.parse_error(answer))


@pytest.mark.parametrize("answer", NOT_OF_RESULTS)
def test_what_the_server_says_of_itself_or_of_the_user_is_not(answer: str) -> None:
    assert not may_be_of_results(BaseParser.parse_error(answer))


def test_what_can_not_be_sent_may_be_of_its_results_and_a_link_that_breaks_is_not() -> None:
    assert may_be_of_results(DataError("Invalid input of type: 'list'"))
    assert may_be_of_results(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"))
    assert not may_be_of_results(ConnectionError("Connection closed by server."))
    assert not may_be_of_results(TimeoutError())
