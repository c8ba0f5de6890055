"""Answers that tell of the server, not of the call: it takes no writes, and another may stand behind its address.

A failover behind one address (a Service, a virtual IP, a name) leaves the links to the old master as they are where it
lives on as a replica: whatever is written on them would be refused for ever. So a connection that is told so is given
up, and the next call dials anew.
"""

from __future__ import annotations

import inspect
import re
import time
from functools import cache
from typing import Any

from redis.exceptions import BusyLoadingError, ClusterDownError, MovedError, OutOfMemoryError, ReadOnlyError, RedisError

#: Seconds for which connections that were made anew are kept whatever they are told: a Redis that takes no writes for
#: long is not to be flooded with connections.
KEPT_SECONDS = 2.0

#: A replica, one that reads its data, one without its master (a ClusterDownError to redis-py), a node of a cluster that
#: has lost the others or does not have these keys any more.
_kinds = (ReadOnlyError, BusyLoadingError, ClusterDownError, MovedError)
#: A master that has lost its replicas, as one does that was cut off from those who chose another; one that can't save
#: what it is told, for which others may take it out of service. Before Redis 7 an error within a script is told in the
#: middle of a sentence. OOM is not among them: a full server says nothing of who leads.
_words = re.compile(r"(?:^|-)(?:READONLY|MASTERDOWN|NOREPLICAS|MISCONF) ")


def tells_of_server(error: BaseException) -> bool:
    """Whether an error says that this server takes no writes now, whatever the call."""
    return isinstance(error, _kinds) or (isinstance(error, RedisError) and bool(_words.search(str(error))))


def is_full(error: BaseException) -> bool:
    """Whether Redis refused a write since it is full and evicts nothing."""
    # before Redis 7 an error within a script is told in the middle of a sentence
    return isinstance(error, OutOfMemoryError) or (isinstance(error, RedisError) and "-OOM " in str(error))


#: What a server that does not know a command quotes of it: of a login (HELLO, before Redis 6) its password.
_quoted = re.compile(r",? with args beginning with: .*", re.DOTALL)


def _hide_arguments(error: RedisError) -> None:
    if _quoted.search(str(error)):
        error.args = (_quoted.sub("", str(error)),)


class GivenUp:
    """When connections of a client were given up last, by the monotonic clock."""

    def __init__(self) -> None:
        self.at = float("-inf")

    def take(self, made_at: float, error: BaseException) -> bool:
        """Whether a connection that was made then is to be given up for this error."""
        if not tells_of_server(error):
            return False
        now = time.monotonic()
        if now - self.at >= KEPT_SECONDS:
            self.at = now
        return made_at <= self.at


def watch(client: Any) -> None:
    """Makes a client's new connections such that are given up for an answer of that kind.

    A cluster's client is left alone: it finds the node that took over by itself. Sentinel's does where a replica
    answers; for other answers it asks the Sentinels, too.
    """
    pool = getattr(client, "connection_pool", None)
    if pool is not None:
        pool.connection_class = _watched(pool.connection_class)
        pool.connection_kwargs["given_up"] = GivenUp()


@cache
def _watched(kind: type[Any]) -> type[Any]:
    class Watched(kind):  # type: ignore[misc]
        def __init__(self, *, given_up: GivenUp, **options: Any) -> None:
            super().__init__(**options)
            self._given_up = given_up
            self._made_at = time.monotonic()

        def _heed(self, error: RedisError) -> None:
            _hide_arguments(error)
            if self._given_up.take(self._made_at, error):
                # not closed here: answers to what was sent with the refused call are still to be read
                self.mark_for_reconnect()

    class Connection(Watched):
        async def connect(self) -> None:
            if not self.is_connected:
                self._made_at = time.monotonic()
            await super().connect()

        async def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().read_response(*args, **options)
            except RedisError as error:
                self._heed(error)
                raise

    class SyncConnection(Watched):
        def connect(self) -> None:
            if not self.is_connected:
                self._made_at = time.monotonic()
            super().connect()

        def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                return super().read_response(*args, **options)
            except RedisError as error:
                self._heed(error)
                raise

    return Connection if inspect.iscoroutinefunction(kind.read_response) else SyncConnection
