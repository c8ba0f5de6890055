"""Connections that a queue keeps for its own calls.

redis-py takes a connection from its pool and gives it back around each command, tells its own metrics of it, and
starts a task to bound the write: more than half of what a call costs a Python process. Here a connection that has
answered rests (resting.py) and is taken for the next call as it is; several calls may be on their way on one of them.
"""

from __future__ import annotations

import asyncio
import builtins
import time
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError, TimeoutError

from crewline.redis import loops, private, refusals
from crewline.redis.resting import Resting

#: Calls of `Lanes.call_ahead` without an answer: one that Redis works on, one that waits for it.
AHEAD = 2

#: Connections that are made at once. A thousand, and the server's queue of them overflows: the rest try again after
#: seconds, beyond the bound of a connection.
MOST_CONNECTING = 64

Command = tuple[Any, ...]


class Lanes:
    """Calls over connections of one client's pool.

    Args:
        redis: a client that `connect` made; through any other (a cluster's, a caller's own, with
            retries and hooks that are the caller's business) each call goes as that client does it.
        keeps: connections stay however long they rest: one that carries a name, or is known by its id.
    """

    def __init__(self, redis: Any, *, keeps: bool = False) -> None:
        self._redis = redis
        self._keeps = keeps
        self._resting = Resting(redis, keeps=keeps)
        self._connecting = asyncio.Semaphore(MOST_CONNECTING)
        #: When Redis did not answer one that connected, by the monotonic clock.
        self._silent_since = 0.0
        self._direct = private.is_direct(redis)
        self._given_up = refusals.GivenUp()
        self._home = loops.home_of(redis)
        self._home.settle(self, Lanes._forget)

    async def call(self, *command: Any) -> Any:
        """The reply to one command; raises as the client would."""
        self._home.enter()
        if not self._direct:
            return await self._call_through(command)
        connection = await self._take()
        try:
            await connection.send_command(*command)
            reply = await connection.read_response()
        except ResponseError:
            await self._give_back(connection)
            raise
        except BaseException as error:
            await self._drop(connection, error)
            raise
        await self._rest(connection)
        return reply

    @property
    def script_unknown(self) -> bool:
        """Whether Redis did not know a script that `tell` sent, as far as its answer was read."""
        return self._resting.script_unknown

    @script_unknown.setter
    def script_unknown(self, value: bool) -> None:
        self._resting.script_unknown = value

    async def renew(self) -> None:
        """Gives up the connections that no call is on: where one died in silence, the others may be dead as well."""
        self._home.enter()
        await self._resting.close_all()
        if self._direct:
            # those that redis-py keeps for its own commands, too: the next call would get one of them
            await private.close_idle(self._redis)

    async def close(self) -> None:
        """Closes what rests. The client may be another's, and go on."""
        self._home.enter()
        await self._resting.end()

    async def call_together(self, *commands: Command) -> list[Any]:
        """Sends commands in one go; their replies in order, an error that Redis answered in its reply's place."""
        self._home.enter()
        if not self._direct:
            pipeline = self._redis.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            told: list[Any] = await pipeline.execute(raise_on_error=False)
            await self._heed(*told)
            return told
        connection = await self._take()
        replies: list[Any] = []
        try:
            await connection.send_packed_command([part for each in commands for part in connection.pack_command(*each)])
            for _ in commands:
                try:
                    replies.append(await connection.read_response())
                except ResponseError as error:
                    replies.append(error)
        except BaseException as error:
            await self._drop(connection, error)
            raise
        await self._give_back(connection)
        return replies

    async def tell(self, *commands: Command) -> None:
        """Sends commands whose replies nobody waits for, on the connection that was used last.

        They are read before that is used again; an error that Redis answers is nobody's business.
        """
        self._home.enter()
        if not self._direct:
            await self.call_together(*commands)
            return
        connection = self._resting.pop() or await self._take()
        try:
            await connection.send_packed_command([part for each in commands for part in connection.pack_command(*each)])
        except BaseException as error:
            await self._drop(connection, error)
            raise
        await self._rest(connection, unread=len(commands))

    async def call_ahead(self, commands: Iterable[Command]) -> AsyncGenerator[Any]:
        """Yields the replies of commands in order, each sent before the last is answered, all on one connection.

        A pool would give calls that overlap connections of their own, and Redis would take them in any order. A
        NoScriptError is yielded in its reply's place; after any other error nobody knows of the commands on their way.
        """
        self._home.enter()
        if not self._direct:
            for command in commands:
                try:
                    reply = await self._call_through(command)
                except NoScriptError as error:
                    reply = error
                yield reply
            return
        connection: Any = None
        sent: deque[Command] = deque()
        try:
            for command in commands:
                if connection is None:
                    connection = await self._take()
                if len(sent) == AHEAD:
                    yield await _reply(connection, sent)
                sent.append(command)
                await connection.send_command(*command)
            while sent:
                yield await _reply(connection, sent)
        finally:
            if connection is not None:
                given_up = connection.should_reconnect()
                if sent:
                    # its answers must not be taken for those of others
                    await self._drop(connection)
                else:
                    await self._rest(connection)
                if given_up:
                    await self.renew()

    def _forget(self) -> None:
        self._resting.forget()
        self._connecting = asyncio.Semaphore(MOST_CONNECTING)

    async def _take(self) -> Any:
        connection = await self._resting.take()
        if connection is None:
            began = time.monotonic()
            async with self._connecting:
                # one may have come to rest meanwhile
                connection = await self._resting.take()
                if connection is None and self._silent_since >= began:
                    # else a server that does not answer holds up those that connect one after the other; but how long
                    # a process takes for a burst of its own is no silence
                    raise TimeoutError("Timeout connecting to server: those that connected before had no answer")
                if connection is None:
                    connection = await self._connect()
        return connection

    async def _connect(self) -> Any:
        try:
            return await self._redis.connection_pool.get_connection()
        except (TimeoutError, builtins.TimeoutError):
            self._silent_since = time.monotonic()
            raise

    async def _call_through(self, command: Command) -> Any:
        try:
            return await self._redis.execute_command(*command)
        except RedisError as error:
            await self._heed(error)
            raise

    async def _heed(self, *replies: Any) -> None:
        """Gives up what a client keeps whose connections are not ours to watch, as `refusals.watch` does with ours."""
        errors = [reply for reply in replies if isinstance(reply, RedisError)]
        # when the refused connection was made is the client's to know: now, as far as it is known here
        now = time.monotonic()
        if isinstance(self._redis, Redis) and any(self._given_up.take(now, error) for error in errors):
            await private.close_idle(self._redis)

    async def _rest(self, connection: Any, unread: int = 0) -> None:
        """Where all was closed while a call was on its way, its connection goes as well."""
        if self._resting.ended:
            await self._resting.release(connection)
        else:
            self._resting.put(connection, unread)

    async def _give_back(self, connection: Any) -> None:
        """A connection that an error was answered on rests, or goes with all others that were made when it was.

        One that is to stay is replaced by whom it belongs to.
        """
        if connection.should_reconnect() and not self._keeps:
            await self._resting.release(connection)
            await self.renew()
        else:
            await self._rest(connection)

    async def _drop(self, connection: Any, error: BaseException | None = None) -> None:
        await self._resting.release(connection)
        if isinstance(error, Exception):
            await self.renew()


async def _reply(connection: Any, sent: deque[Command]) -> Any:
    try:
        reply = await connection.read_response()
    except NoScriptError as error:
        reply = error
    sent.popleft()
    return reply
