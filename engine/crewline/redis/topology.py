"""What Redis is behind a URL: one server, a Sentinel-guarded one, or a cluster; and what a cluster asks of a queue."""

from __future__ import annotations

from typing import Any, cast

import redis as sync_redis
from redis.asyncio import Redis
from redis.crc import key_slot

from crewline.errors import InvalidOption
from crewline.redis.address import parse_url
from crewline.wire.keys import Keys


def open_client(url: str, **options: Any) -> Redis:
    """An asynchronous client for whatever is behind a URL; it connects at its first command."""
    address = parse_url(url)
    if address.kind == "cluster":
        from redis.asyncio.cluster import ClusterNode, RedisCluster

        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        options.pop("max_connections", None)
        # redis-py's own class for it, with the same commands. A slot that nobody has concerns its own keys alone,
        # unless the servers say otherwise, by cluster-require-full-coverage.
        return cast(Redis, RedisCluster(startup_nodes=nodes, require_full_coverage=False, **address.options, **options))
    if address.kind == "sentinel":
        from crewline.redis import sentinel

        return sentinel.master(address, **options)
    return Redis(**address.options, **options)


def open_sync_client(url: str, **options: Any) -> sync_redis.Redis:
    """The same for a thread."""
    address = parse_url(url)
    if address.kind == "cluster":
        from redis.cluster import ClusterNode, RedisCluster

        nodes = [ClusterNode(host, port) for host, port in address.hosts]  # type: ignore[no-untyped-call]
        return cast(
            sync_redis.Redis,
            RedisCluster(startup_nodes=nodes, require_full_coverage=False, **address.options, **options),
        )
    if address.kind == "sentinel":
        from crewline.redis import sentinel

        return sentinel.sync_master(address, **options)
    return sync_redis.Redis(**address.options, **options)


def is_cluster(redis: str | Redis) -> bool:
    """Whether a URL, or a client of the caller's own, leads to a cluster."""
    if isinstance(redis, str):
        return parse_url(redis).kind == "cluster"
    from redis.asyncio.cluster import RedisCluster

    return isinstance(redis, RedisCluster)


async def add_time(redis: Redis, pipe: Any, key: str) -> None:
    """Adds TIME to a pipeline: in a cluster of the node that has `key`, whose clock that key's scripts go by."""
    if is_cluster(redis):
        cluster: Any = await redis.initialize()
        pipe.execute_command("TIME", target_nodes=cluster.get_node_from_key(key))
    else:
        pipe.time()


async def time_at(redis: Redis, key: str) -> tuple[int, int]:
    """Seconds and microseconds of the clock that the scripts of `key` go by."""
    async with redis.pipeline(transaction=False) as pipe:
        await add_time(redis, pipe, key)
        ((seconds, micros),) = await pipe.execute()
    return seconds, micros


def slot_of(prefix: str, queue: str) -> int | None:
    """The cluster's slot that all keys of a queue are in, Crewline's own too; None if they are not in one."""
    keys = Keys(prefix, queue)
    # what follows may hold a brace: a job's id does not end a tag that the queue began
    names = (start + end for start in (keys.base, keys.extra("")) for end in ("wait", "meta", "}", "{x}"))
    slots = {key_slot(name.encode()) for name in names}
    return slots.pop() if len(slots) == 1 else None


def check_slot(redis: str | Redis, prefix: str, queue: str) -> None:
    """In a cluster all keys of a queue must share a slot: raises InvalidOption if nothing makes them."""
    if is_cluster(redis) and slot_of(prefix, queue) is None:
        raise InvalidOption(
            f"on a Redis Cluster all keys of queue {queue!r} must share a slot: give the prefix a hash tag, "
            f"e.g. prefix='{{{_bare(prefix)}}}', or the queue's name, e.g. '{{{_bare(queue)}}}', in all of its clients"
        )


def check_letters_slot(redis: str | Redis, prefix: str, queue: str, letters: str) -> None:
    """In a cluster a letter is written by the call that fails its job: raises InvalidOption if no call can."""
    if letters and is_cluster(redis) and slot_of(prefix, queue) != slot_of(prefix, letters):
        raise InvalidOption(
            f"dead_letter_queue {letters!r} of queue {queue!r} is in another slot of the Redis Cluster, where no "
            f"letter can be written: use {queue + '-dlq'!r}, which is in its slot, or a prefix with a hash tag for "
            f"both, e.g. prefix='{{{_bare(prefix)}}}'"
        )


def _bare(name: str) -> str:
    return name.replace("{", "").replace("}", "")
