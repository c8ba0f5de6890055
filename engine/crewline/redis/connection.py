"""Connections to Redis: how they are made, and what a failing one looks like to the rest.

redis-py 8 retries inside a command and gives up a read after 5 s by default; a blocked read of 5 s then never
ends cleanly. Here every command has a bound of its own, and retrying is the caller's, who knows what is safe.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterable
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import hiredis
import redis as sync_redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError
from redis.retry import Retry

from crewline.redis.topology import open_client, open_sync_client

#: Seconds that any command may take before its connection counts as dead.
COMMAND_TIMEOUT_SECONDS = 10.0

#: What a call to Redis may raise when Redis is away, busy or unwilling; a repeat may succeed.
UNAVAILABLE = (RedisError, OSError, TimeoutError)


def connect(redis: str | Redis, **options: Any) -> Redis:
    """A client for ``redis``: a URL (see topology.py), or a client of the caller's, used as it is."""
    if not isinstance(redis, str):
        return redis
    client = open_client(
        redis,
        **{
            "socket_timeout": COMMAND_TIMEOUT_SECONDS,
            "socket_connect_timeout": 5.0,
            "socket_keepalive": True,
            # redis-py refuses a call beyond 100 at once; a program that gathers a thousand means it
            "max_connections": 10_000,
            "retry": AsyncRetry(NoBackoff(), 0),
            **options,
        },
    )
    if isinstance(client, Redis):
        client.connection_pool.connection_class = _mended(
            client.connection_pool.connection_class  # type: ignore[arg-type]
        )
    return client


@cache
def _mended(kind: type[Any]) -> type[Any]:
    """redis-py's asynchronous connection with four things mended.

    A write to a reset link is a connection error: redis-py expects an OSError there; uvloop's transports raise
    RuntimeError once the peer's reset has closed them, and a worker would end with it.

    Commands are packed by hiredis, as redis-py's blocking client does: in Python, packing took a third of a worker's
    time.

    A write is bounded in time where the system does not take it at once. redis-py starts a task for each (on
    Python 3.11), which costs more than the write.

    A write leaves at once: with room in its buffer, uvloop keeps it until all else that is ready has run, and Redis
    would wait for a worker that takes in an answer.
    """

    class Connection(kind):  # type: ignore[misc]
        #: Calls may be made on it without redis-py's client: see crewline.redis.lanes.
        direct = True

        def pack_command(self, *args: Any) -> list[bytes]:
            # redis-py's own commands may have two words in their first argument
            words: tuple[Any, ...] = tuple(args[0].split()) if isinstance(args[0], str | bytes) else args[:1]
            try:
                return [hiredis.pack_command(words + args[1:])]
            except TypeError:
                # what hiredis can't pack, redis-py refuses with the argument's type
                return super().pack_command(*args)  # type: ignore[no-any-return]

        async def _connect(self) -> None:
            await super()._connect()
            # redis-py has just set its writer
            self._writer.transport.set_write_buffer_limits(high=0)

        async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
            try:
                if self._writer is None or self.health_check_interval or isinstance(command, bytes | str):
                    await super().send_packed_command(command, check_health=check_health)
                    return
                self._writer.writelines(command)
                if self._writer.transport.get_write_buffer_size():
                    async with asyncio.timeout(self.socket_timeout):
                        await self._writer.drain()
            except RuntimeError as error:
                raise ConnectionError(f"the connection can't be written to: {error}") from error
            except OSError as error:  # a timeout is one, too
                await self.disconnect(nowait=True)
                raise ConnectionError(f"the connection can't be written to: {error!r}") from error

    return Connection


def connect_blocking(url: str, client_name: str) -> Redis:
    """A client for one blocked read: no read timeout of its own, since the caller bounds each block.

    ``client_name`` is what BullMQ's ``getWorkers`` and dashboards look for.
    """
    return connect(url, socket_timeout=None, client_name=client_name, max_connections=1)


def connect_sync(url: str, timeout_seconds: float = COMMAND_TIMEOUT_SECONDS) -> sync_redis.Redis:
    """A blocking client for a thread of its own; no command or connection attempt takes longer than the timeout."""
    return open_sync_client(
        url, socket_timeout=timeout_seconds, socket_connect_timeout=min(timeout_seconds, 5.0),
        retry=Retry(NoBackoff(), 0),
    )  # fmt: skip


def cancelled() -> bool:
    """Whether the running task was told to end.

    A loop around calls to Redis asks this at each turn: where a reply comes in the moment of the cancellation,
    redis-py 8 returns or raises what Redis said and the CancelledError is gone.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancels tasks until they have ended, since one cancellation may be lost (see `cancelled`)."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.5)
    # what they raised is taken note of by those who waited for them
    await asyncio.gather(*tasks, return_exceptions=True)


def client_name(prefix: str, queue: str, worker: str = "") -> str:
    """The connection name by which BullMQ finds a queue's workers: ``<prefix>:<base64(queue)>[:w:<name>]``."""
    name = f"{prefix}:{base64.b64encode(queue.encode()).decode()}"
    return f"{name}:w:{worker}" if worker else name


def redact(url: str) -> str:
    """The URL without user and password, for logs and messages."""
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url
    return parts._replace(netloc=parts.netloc.rsplit("@", 1)[1]).geturl()
