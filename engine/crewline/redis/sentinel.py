"""A client of the master that Sentinels tell of.

redis-py asks each Sentinel that is away again and again for seconds, tells of it with a page of its own settings, and
closes no connection to a Sentinel.
"""

from __future__ import annotations

from typing import Any, cast

import redis as sync_redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel as SyncSentinel

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


class _Master(Redis):
    """The master; closes its Sentinels' connections with its own."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        for node in cast(Any, self.connection_pool).sentinel_manager.sentinels:
            await node.aclose()


class _SyncMaster(sync_redis.Redis):
    def close(self) -> None:
        super().close()
        for node in cast(Any, self.connection_pool).sentinel_manager.sentinels:
            node.close()


def master(address: Address, **options: Any) -> Redis:
    """An asynchronous client of a Sentinel URL's master."""
    sentinel: Any = Sentinel([])  # type: ignore[no-untyped-call]
    sentinel.sentinels = [
        _Node(host=host, port=port, retry=AsyncRetry(NoBackoff(), 0), **_for_nodes(address))
        for host, port in address.hosts
    ]
    return cast(Redis, sentinel.master_for(address.service, redis_class=_Master, **address.options, **options))


def sync_master(address: Address, **options: Any) -> sync_redis.Redis:
    """The same for a thread."""
    sentinel: Any = SyncSentinel([])  # type: ignore[no-untyped-call]
    sentinel.sentinels = [
        _SyncNode(host=host, port=port, retry=Retry(NoBackoff(), 0), **_for_nodes(address))
        for host, port in address.hosts
    ]
    made = sentinel.master_for(address.service, redis_class=_SyncMaster, **address.options, **options)
    return cast(sync_redis.Redis, made)


def _for_nodes(address: Address) -> dict[str, Any]:
    """What the Sentinels themselves need: TLS as the master, and no password of the master's."""
    tls = {key: value for key, value in address.options.items() if key.startswith("ssl")}
    return {"socket_timeout": SENTINEL_SECONDS, "socket_connect_timeout": SENTINEL_SECONDS, **tls}


def _named(node: Any) -> str:
    at = node.connection_pool.connection_kwargs
    return f"{at['host']}:{at['port']}"
