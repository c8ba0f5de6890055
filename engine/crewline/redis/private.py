"""What we use of redis-py that it does not promise to keep.

redis-py's asynchronous connection costs a worker half of its time and has faults that end one (see `_mended`). What
mends it reaches into parts that may change with any release, so that it is done for the releases it was tried with
only. With any other, calls go as redis-py makes them: slower, and as right as redis-py is.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import hiredis
import redis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError

from crewline import forks

log = logging.getLogger("crewline.redis")

#: The first release of redis-py that this was tried with, and the first after it that it was not.
TRIED = (8, 1), (8, 2)

#: A parent's connections in its forked child, where they would tell the event loop of their end: that is the parent's.
_disowned: list[Any] = []


def mend(client: Any) -> None:
    """Makes a client's new connections `_mended` ones, where this release of redis-py is known."""
    if isinstance(client, Redis) and _is_tried(redis.__version__):
        pool = client.connection_pool
        pool.connection_class = _mended(pool.connection_class)  # type: ignore[arg-type]


def is_direct(client: Any) -> bool:
    """Whether calls may be made on connections of the client's pool, past the client: those that `mend` made.

    A client of the caller's own, or a cluster's, has retries and hooks that are the caller's business.
    """
    return isinstance(client, Redis) and getattr(client.connection_pool.connection_class, "direct", False)


async def drop(client: Any, connection: Any) -> None:
    """Closes a connection that was taken from a direct client's pool, which forgets it.

    Given back, it would lie upon the pool's open ones, and the next call would open it while those rest.
    """
    client.connection_pool._in_use_connections.discard(connection)
    await connection.disconnect(nowait=True)


async def close_idle(client: Any) -> None:
    """Closes the connections that a client's pool has at hand, and no call is on.

    They are taken out of the pool for that: redis-py leaves them in it, and whoever takes one meanwhile finds it closed
    in the middle of a call.
    """
    pool = client.connection_pool
    idle, pool._available_connections[:] = list(pool._available_connections), []
    try:
        for connection in idle:
            await connection.disconnect()
    finally:
        pool._available_connections[:0] = idle


def disown(client: Any) -> None:
    """In a forked child: its parent's connections are none of the client's, whatever client it is."""
    for each in _taken_from(client):
        forks.sever(_descriptors(each))
        _disowned.append(each)


def abandon(client: Any) -> None:
    """Closes the connections of an event loop that is closed, which can't do it any more; the client has none then."""
    for each in _taken_from(client):
        transport = each._writer and each._writer.transport
        each._reader = each._writer = None
        # asyncio shows a wrapped socket that has no close; uvloop closed its own with the loop, and the number may be
        # another's by now
        opened = transport and getattr(transport.get_extra_info("socket"), "_sock", None)
        if opened is not None:
            opened.close()


def _taken_from(client: Any) -> list[Any]:
    """All connections of a client, which has none of them from now on, nor a lock that another loop's tasks hold."""
    taken: list[Any] = []
    pools = [getattr(client, "connection_pool", None)]
    nodes = getattr(client, "nodes_manager", None)
    for node in [*getattr(nodes, "nodes_cache", {}).values(), *getattr(nodes, "startup_nodes", {}).values()]:
        # an asynchronous cluster's nodes are pools themselves
        pools += [node, getattr(getattr(node, "redis_connection", None), "connection_pool", None)]
    for pool in pools:
        for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
            taken += _taken_from(sentinel)
        for name in ("_available_connections", "_in_use_connections", "_connections", "_free"):
            held = getattr(pool, name, None)
            if held:
                taken += held
                held.clear()
    for owner in (client, nodes, *pools):
        for name in ("_lock", "_usage_lock", "_initialize_lock"):
            if isinstance(getattr(owner, name, None), asyncio.Lock):
                setattr(owner, name, asyncio.Lock())
    return taken


def _descriptors(connection: Any) -> list[int]:
    writer, blocking = getattr(connection, "_writer", None), getattr(connection, "_sock", None)
    return [blocking.fileno()] if blocking else forks.descriptor_of(writer and writer.transport)


@cache
def _is_tried(version: str) -> bool:
    """Says once that a release is not known."""
    number = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    first, beyond = TRIED
    if first <= number < beyond:
        return True
    log.warning(
        "redis-py %s is not one that Crewline's direct connections were tried with (%d.%d up to, not with, %d.%d): "
        "calls go through redis-py's client, which takes more of the processor",
        version, *first, *beyond,
    )  # fmt: skip
    return False


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
        #: See `is_direct`.
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
