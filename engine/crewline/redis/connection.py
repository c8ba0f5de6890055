"""Connections to Redis: how they are made, and what a failing one looks like to the rest.

redis-py 8 retries inside a command and gives up a read after 5 s by default; a blocked read of 5 s then never
ends cleanly. Here every command has a bound of its own, and retrying is the caller's, who knows what is safe.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from functools import partial
from typing import Any

import redis as sync_redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.retry import Retry

from crewline import forks
from crewline.redis import loops, private, refusals
from crewline.redis.address import redact as redact
from crewline.redis.topology import is_cluster, open_client, open_sync_client

#: Seconds that any command may take before its connection counts as dead.
COMMAND_TIMEOUT_SECONDS = 10.0
#: ... and that a connection may take to be made.
CONNECT_SECONDS = 5.0

#: What a call to Redis may raise when Redis is away, busy or unwilling; a repeat may succeed. A cluster none of whose
#: nodes answers, or of which a part is gone, is told in a RedisClusterException, which is no RedisError.
UNAVAILABLE = (RedisError, RedisClusterException, OSError, TimeoutError)


def connect(redis: str | Redis, *, called: str = "", **options: Any) -> Redis:
    """A client for ``redis``: a URL (see topology.py), or a client of the caller's, used as it is.

    ``called`` is a courtesy to who looks at the server's clients: connections have that name where the user may give
    one, and in a cluster none.
    """
    if not isinstance(redis, str):
        return redis
    if called and not is_cluster(redis):
        options["redis_connect_func"] = partial(_introduce, called)
    client = open_client(
        redis,
        **{
            "socket_timeout": COMMAND_TIMEOUT_SECONDS,
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_keepalive": True,
            # redis-py refuses a call beyond 100 at once; a program that gathers a thousand means it
            "max_connections": 10_000,
            "retry": AsyncRetry(NoBackoff(), 0),
            **options,
        },
    )
    private.mend(client)
    refusals.watch(client)
    forks.in_child(client, private.disown)
    loops.give_home(client)
    return client


async def _introduce(name: str, connection: Any) -> None:
    await connection.on_connect()
    await connection.send_command("CLIENT", "SETNAME", name, check_health=False)
    with contextlib.suppress(ResponseError):
        await connection.read_response()


def connect_blocking(url: str, client_name: str) -> Redis:
    """A client for one blocked read: no read timeout of its own, since the caller bounds each block and call.

    ``client_name`` is what BullMQ's ``getWorkers`` and dashboards look for.
    """
    return connect(url, socket_timeout=None, client_name=client_name, max_connections=1)


def connect_sync(url: str, timeout_seconds: float = COMMAND_TIMEOUT_SECONDS) -> sync_redis.Redis:
    """A blocking client for a thread of its own; no command or connection attempt takes longer than the timeout."""
    client = open_sync_client(
        url, socket_timeout=timeout_seconds, socket_connect_timeout=min(timeout_seconds, CONNECT_SECONDS),
        retry=Retry(NoBackoff(), 0),
    )  # fmt: skip
    refusals.watch(client)
    forks.in_child(client, private.disown)
    return client


def is_wrong_type(error: object) -> bool:
    """Whether Redis refused a command for a key's type: somebody else put there what it is."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


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
