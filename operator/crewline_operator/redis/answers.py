"""Clients that take no answer beyond a bound of bytes: the operator's only way to a Redis.

Whoever may make a JobQueue names the Redis that is read for it, and may put there what they like: a job's id of 500 MB,
or a server of their own that answers without end. Where a length can be asked for it is (bounded.py); what has none
that could be is counted while it arrives, and the connection is closed before it fills the memory of the process that
serves everybody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from crewline.redis.connection import connect
from redis.asyncio import Redis
from redis.asyncio.connection import Connection as AnyConnection
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError

#: Bytes of the answer to what was sent at once, be it a pipeline for many queues; some 200 a queue are usual.
ANSWER_MAX_BYTES = 4 * 2**20
#: The head of a list of ten million entries or more: room is made for them, which takes seconds, come they or not.
ENORMOUS = re.compile(rb"\r\n[*~%>|][0-9]{8,}\r\n")
#: No number that a client takes is longer.
HEAD_BYTES = 32


class AnswerTooLarge(ConnectionError):
    """An answer that was not taken in; its connection is closed."""

    def __init__(self) -> None:
        super().__init__(f"the answer is larger than {ANSWER_MAX_BYTES} bytes")


def connect_bounded(url: str, **options: Any) -> Redis:
    """A client as `connect` gives it, all of whose calls raise AnswerTooLarge where the answer is; Sentinels' too."""
    client = connect(url, **options)
    nodes = getattr(client, "nodes_manager", None)
    if nodes is not None:
        # those that are found later are made with the manager's options, the first ones with their own copies
        nodes.connection_kwargs["connection_class"] = _bounded(nodes.connection_kwargs["connection_class"])
        for node in nodes.startup_nodes.values():
            node.connection_class = _bounded(node.connection_class)
        return client
    sentinels = getattr(getattr(client.connection_pool, "sentinel_manager", None), "sentinels", ())
    for each in (client, *sentinels):
        each.connection_pool.connection_class = _bounded(each.connection_pool.connection_class)
    return client


class _Parser(DefaultParser):  # type: ignore[misc, valid-type]
    """Reads answers, and counts what has come of them."""

    def __init__(self, socket_read_size: int) -> None:
        super().__init__(socket_read_size=socket_read_size)
        self.left_bytes = ANSWER_MAX_BYTES

    def on_connect(self, connection: Any) -> None:
        super().on_connect(connection)
        self._stream: Any = _Counted(connection._reader, self)


class _Counted:
    """A connection's stream, of which no more is read than is left for its parser."""

    def __init__(self, stream: Any, parser: _Parser) -> None:
        self._stream = stream
        self._parser = parser
        #: The end of what was read last, in which a head may have begun.
        self._end = b"\r\n"

    async def read(self, most: int) -> bytes:
        read: bytes = await self._stream.read(most)
        self._parser.left_bytes -= len(read)
        seen = self._end + read
        if self._parser.left_bytes < 0 or ENORMOUS.search(seen):
            raise AnswerTooLarge
        self._end = seen[-HEAD_BYTES:]
        return read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@cache
def _bounded(kind: type[AnyConnection]) -> type[Any]:
    class Connection(kind):  # type: ignore[misc, valid-type]
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "parser_class": _Parser})

        async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
            self._parser.left_bytes = ANSWER_MAX_BYTES
            await super().send_packed_command(command, check_health=check_health)

    return Connection
