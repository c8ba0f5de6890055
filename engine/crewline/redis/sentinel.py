"""A client of the master that Sentinels tell of.

redis-py asks each Sentinel that is away again and again for seconds, and tells of it with a page of its own settings.
It asks anew for each connection to the master, all at once where many are made at once, and closes none that it has
asked on.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

import redis as sync_redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel as SyncSentinel

from crewline import forks
from crewline.redis.address import Address

#: Seconds that one Sentinel may take to answer: the next is asked then.
SENTINEL_SECONDS = 2.0


class _Node(Redis):
    """One Sentinel, which errors name by its repr."""

    def __repr__(self) -> str:
        return _named(self)


class _SyncNode(sync_redis.Redis):
    def __repr__(self) -> str:
        return _named(self)


class _Sentinels(Sentinel):
    """Asks once for all who want to know now, and keeps no connection."""

    def __init__(self, nodes: list[Redis]) -> None:
        super().__init__([])  # type: ignore[no-untyped-call]
        self.sentinels = nodes
        self._asking: asyncio.Task[Any] | None = None
        forks.in_child(self, _Sentinels._forget)

    async def discover_master(self, service_name: str) -> Any:
        asking = self._asking
        if asking is None or asking.done() or asking.get_loop() is not asyncio.get_running_loop():
            self._asking = asking = asyncio.create_task(self._ask(service_name))
            # whoever asked may have been told to end
            asking.add_done_callback(_heard)
        return await asyncio.shield(asking)

    async def _ask(self, service_name: str) -> Any:
        try:
            return await super().discover_master(service_name)
        finally:
            for node in self.sentinels:
                with contextlib.suppress(RedisError, OSError):
                    await node.connection_pool.disconnect()

    def _forget(self) -> None:
        self._asking = None


class _SyncSentinels(SyncSentinel):
    """Keeps no connection."""

    def discover_master(self, service_name: str) -> Any:
        try:
            return super().discover_master(service_name)  # type: ignore[no-untyped-call]
        finally:
            for node in self.sentinels:
                # another thread may be asking
                node.connection_pool.disconnect(inuse_connections=False)


class _Master(Redis):
    """The master; closes its Sentinels' connections with its own."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        await cast(Any, self.connection_pool).sentinel_manager.aclose()


def master(address: Address, **options: Any) -> Redis:
    """An asynchronous client of a Sentinel URL's master."""
    sentinels = _Sentinels([
        _Node(host=host, port=port, retry=AsyncRetry(NoBackoff(), 0), **_for_nodes(address))
        for host, port in address.hosts
    ])  # fmt: skip
    made = cast(Any, sentinels).master_for(address.service, redis_class=_Master, **address.options, **options)
    return cast(Redis, made)


def sync_master(address: Address, **options: Any) -> sync_redis.Redis:
    """The same for a thread."""
    sentinels: Any = _SyncSentinels([])  # type: ignore[no-untyped-call]
    sentinels.sentinels = [
        _SyncNode(host=host, port=port, retry=Retry(NoBackoff(), 0), **_for_nodes(address))
        for host, port in address.hosts
    ]
    return cast(sync_redis.Redis, sentinels.master_for(address.service, **address.options, **options))


def _heard(asking: asyncio.Task[Any]) -> None:
    if not asking.cancelled():
        asking.exception()


def _for_nodes(address: Address) -> dict[str, Any]:
    """What the Sentinels themselves need: TLS as the master, their own password and not the master's."""
    tls = {key: value for key, value in address.options.items() if key.startswith("ssl")}
    account = {name.removeprefix("sentinel_"): value for name, value in address.guard.items()}
    return {"socket_timeout": SENTINEL_SECONDS, "socket_connect_timeout": SENTINEL_SECONDS, **tls, **account}


def _named(node: Any) -> str:
    at = node.connection_pool.connection_kwargs
    return f"{at['host']}:{at['port']}"
