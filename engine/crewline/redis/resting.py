"""Connections that no call is on.

Many calls at once open many connections. Those taken last are taken first, so that the surplus of a burst rests, and
what rests is closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

from redis.exceptions import NoScriptError, RedisError, ResponseError

from crewline.redis import private

#: Connections that may rest for `REST_SECONDS`; those beyond it may for `SURPLUS_SECONDS`, so that calls which come a
#: hundred at a time do not connect each time anew.
KEPT = 8
SURPLUS_SECONDS = 5.0
#: Beyond some minutes of silence, networks forget connections without a word.
REST_SECONDS = 60.0


class Resting:
    """Those of one `Lanes`.

    Args:
        redis: whose pool they are from.
        keeps: they stay however long they rest.
    """

    def __init__(self, redis: Any, *, keeps: bool) -> None:
        self._redis = redis
        self._keeps = keeps
        #: connections and since when they rest, the one that rests longest first
        self._idle: deque[tuple[Any, float]] = deque()
        #: how many answers that nobody waits for each has to read first
        self._unread: dict[Any, int] = {}
        #: Redis did not know a script that one of those was for.
        self.script_unknown = False
        self._timer: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        #: Nothing is to rest here any more: nobody would look after it.
        self.ended = False

    def put(self, connection: Any, unread: int = 0) -> None:
        """A connection rests from now on, with so many answers more to be read before it is used again."""
        if unread:
            self._unread[connection] = self._unread.get(connection, 0) + unread
        loop = asyncio.get_running_loop()
        self._idle.append((connection, loop.time()))
        if self._timer is None and not self._keeps:
            self._timer = loop.call_later(SURPLUS_SECONDS, self._look)

    def pop(self) -> Any | None:
        """The one that was used last, which rests no more; None if none does."""
        return self._idle.pop()[0] if self._idle else None

    async def take(self) -> Any | None:
        """The one that was used last of those that live; None if none does."""
        while (connection := self.pop()) is not None:
            alive = False
            try:
                for _ in range(self._unread.pop(connection, 0)):
                    try:
                        await connection.read_response()
                    except NoScriptError:
                        self.script_unknown = True
                    except ResponseError:
                        pass
                # what the server has closed meanwhile can be read from: the end
                alive = (
                    connection.is_connected and not connection.should_reconnect() and not await connection.can_read()
                )
            except (RedisError, OSError):
                pass
            finally:
                if not alive:
                    await self.release(connection)
            if alive:
                return connection
            if self._keeps:
                raise ConnectionError("the connection that was kept is closed: its name and id are gone")
        return None

    def forget(self) -> None:
        """They are another process's, or another event loop's."""
        self._idle.clear()
        self._unread.clear()
        self._timer = None

    async def close_all(self) -> None:
        """Closes all that rest now."""
        idle, self._idle = self._idle, deque()
        await self._close([connection for connection, _ in idle])

    async def end(self) -> None:
        """Closes all, and looks no more."""
        self.ended = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.close_all()

    async def release(self, connection: Any) -> None:
        """Closes one, whatever it was used for."""
        self._unread.pop(connection, None)
        await private.drop(self._redis, connection)

    def _look(self) -> None:
        """Closes what has rested too long, and looks again as long as anything rests."""
        loop = asyncio.get_running_loop()
        now, rested = loop.time(), []
        while self._idle and now - self._idle[0][1] >= (SURPLUS_SECONDS if len(self._idle) > KEPT else REST_SECONDS):
            rested.append(self._idle.popleft()[0])
        if rested:
            task = loop.create_task(self._close(rested))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        self._timer = loop.call_later(SURPLUS_SECONDS, self._look) if self._idle else None

    async def _close(self, connections: list[Any]) -> None:
        for connection in connections:
            await self.release(connection)
