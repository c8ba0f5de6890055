"""Calls in a fixed order on one connection, the next one sent before the last is answered.

A pool gives calls that overlap connections of their own, and Redis then takes them in any order; one call at a time
leaves Redis idle while the next is packed, and the program idle while Redis works.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

#: Calls without an answer at any time: one that Redis works on, one that waits for it.
AHEAD = 2


async def call_ahead(redis: Any, commands: Iterable[tuple[Any, ...]]) -> AsyncGenerator[Any]:
    """Yields the replies of ``commands`` in order; a NoScriptError is yielded in its reply's place.

    Args:
        redis: a client; a cluster's, or one on a connection of its own, is asked one call at a time.
        commands: taken one by one, as they are sent.

    Raises:
        RedisError, OSError: as the client's own calls; of what was sent by then nobody knows whether it was done.
    """
    if not isinstance(redis, Redis) or redis.connection is not None:
        for command in commands:
            yield await redis.execute_command(*command)
        return
    connection: Any = None
    sent: deque[tuple[Any, ...]] = deque()
    try:
        for command in commands:
            if connection is None:
                connection = await redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            if len(sent) == AHEAD:
                yield await _reply(connection, sent)
            sent.append(command)
            await connection.send_command(*command)
        while sent:
            yield await _reply(connection, sent)
    finally:
        if connection is not None:
            if sent:
                # its answers must not be taken for those of others
                await connection.disconnect()
            await redis.connection_pool.release(connection)


async def _reply(connection: Any, sent: deque[Any]) -> Any:
    try:
        return await connection.read_response()
    except NoScriptError as error:
        return error
    finally:
        # a connection that failed has no further answers; one that refused has
        if connection.is_connected:
            sent.popleft()
