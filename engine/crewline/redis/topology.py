"""What Redis is behind a URL: one server, a Sentinel-guarded one, or a cluster.

    redis://[user:password@]host:6379/0            one server; rediss:// for TLS
    redis+sentinel://host1:26379,host2:26379/name/0    the master that Sentinel calls ``name``
    redis+cluster://host1:7000,host2:7001          a cluster; the prefix or the queue's name needs a hash tag

TLS works for each (``rediss+sentinel``, ``rediss+cluster``), with ``?ssl_ca_certs=/path/ca.crt`` and its like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import redis as sync_redis
from redis.asyncio import Redis
from redis.crc import key_slot

from crewline.errors import InvalidOption
from crewline.wire.keys import Keys

KINDS = ("", "sentinel", "cluster")


@dataclass(frozen=True)
class Address:
    """A URL, taken apart.

    Attributes:
        kind: '' for one server, ``sentinel`` or ``cluster``.
        url: the URL itself, which redis-py reads for one server.
        hosts: host and port of each server or Sentinel that was named.
        service: what Sentinel calls the master.
        options: user, password, database and TLS settings as redis-py takes them.
    """

    kind: str
    url: str
    hosts: tuple[tuple[str, int], ...]
    service: str
    options: dict[str, Any]


def parse_url(url: str) -> Address:
    """Takes a URL apart; raises InvalidOption, which never shows the password."""
    parts = urlsplit(url)
    scheme, _, kind = parts.scheme.partition("+")
    if scheme not in ("redis", "rediss", "unix") or kind not in KINDS or (kind and scheme == "unix"):
        raise InvalidOption(
            f"redis URL with scheme {parts.scheme!r} can't be used: write redis://host:6379/0, rediss:// for TLS, "
            "redis+sentinel:// or redis+cluster://"
        )
    if not kind:
        try:
            _ = parts.port
        except ValueError:
            raise InvalidOption("redis URL has a port that is not a number: write redis://host:6379/0") from None
        return Address("", url, (), "", {})
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    if scheme == "rediss":
        options["ssl"] = True
    account, at, listed = parts.netloc.rpartition("@")
    if at:
        user, _, password = account.partition(":")
        options |= {"username": unquote(user) or None, "password": unquote(password) or None}
    hosts = tuple(_host(each, 26379 if kind == "sentinel" else 6379) for each in listed.split(","))
    path = [part for part in parts.path.split("/") if part]
    service = ""
    if kind == "sentinel":
        if not path:
            raise InvalidOption("a Sentinel URL needs the master's name: redis+sentinel://host:26379/NAME/0")
        service = path.pop(0)
        options["db"] = int(path[0]) if path and path[0].isdigit() else 0
    elif path and path != ["0"]:
        raise InvalidOption("a Redis Cluster has one database only: leave the path out of redis+cluster://…")
    return Address(kind, url, hosts, service, options)


def _host(text: str, default_port: int) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon:
        return text, default_port
    if not host or not port.isdigit():
        raise InvalidOption(f"redis URL: {text!r} is no host:port")
    return host, int(port)


def open_client(url: str, **options: Any) -> Redis:
    """An asynchronous client for whatever is behind a URL; it connects at its first command."""
    address = parse_url(url)
    if address.kind == "cluster":
        from redis.asyncio.cluster import ClusterNode, RedisCluster

        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        options.pop("max_connections", None)
        options.pop("retry", None)
        # redis-py's own class for it, with the same commands
        return cast(Redis, RedisCluster(startup_nodes=nodes, **address.options, **options))
    if address.kind == "sentinel":
        from redis.asyncio.sentinel import Sentinel

        sentinel: Any = Sentinel(address.hosts, **_for_sentinels(address))  # type: ignore[no-untyped-call]
        return cast(Redis, sentinel.master_for(address.service, **address.options, **options))
    return Redis.from_url(url, **options)


def open_sync_client(url: str, **options: Any) -> sync_redis.Redis:
    """The same for a thread."""
    address = parse_url(url)
    if address.kind == "cluster":
        from redis.cluster import ClusterNode, RedisCluster

        nodes = [ClusterNode(host, port) for host, port in address.hosts]  # type: ignore[no-untyped-call]
        options.pop("retry", None)
        return cast(sync_redis.Redis, RedisCluster(startup_nodes=nodes, **address.options, **options))
    if address.kind == "sentinel":
        from redis.sentinel import Sentinel

        sentinel: Any = Sentinel(address.hosts, **_for_sentinels(address))  # type: ignore[no-untyped-call]
        return cast(sync_redis.Redis, sentinel.master_for(address.service, **address.options, **options))
    return sync_redis.Redis.from_url(url, **options)


def _for_sentinels(address: Address) -> dict[str, Any]:
    """What the Sentinels themselves need: TLS as the master, and no password of the master's."""
    tls = {key: value for key, value in address.options.items() if key.startswith("ssl")}
    return {"sentinel_kwargs": {"socket_timeout": 2.0, "socket_connect_timeout": 2.0, **tls}}


def is_cluster(redis: str | Redis) -> bool:
    """Whether a URL, or a client of the caller's own, leads to a cluster."""
    if isinstance(redis, str):
        return parse_url(redis).kind == "cluster"
    from redis.asyncio.cluster import RedisCluster

    return isinstance(redis, RedisCluster)


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
