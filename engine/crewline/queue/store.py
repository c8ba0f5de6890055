"""One queue in one Redis: where it is, how it is reached, how what is stored there is read.

The lowest of the classes that make a `Queue`; a job holds it, and knows nothing of the producer above.
"""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis, RedisCluster

from crewline.errors import InvalidOption, InvalidPayload
from crewline.queue.portions import READ_FIRST, next_count
from crewline.queue.results import Results, needed
from crewline.redis.completed import DEFAULT_REDIS as DEFAULT_REDIS
from crewline.redis.connection import COMMAND_TIMEOUT_SECONDS, connect
from crewline.redis.loops import home_of
from crewline.redis.scripts import Scripts
from crewline.redis.topology import check_slot
from crewline.wire import jsonio
from crewline.wire.keys import Keys
from crewline.wire.readonly import readonly

DEFAULT_PREFIX = "bull"

#: Options of a job that has none.
NO_OPTS: dict[str, Any] = readonly({})

#: Decoded options that are kept: a queue's producers have few kinds of them.
MOST_OPTS = 256


class Store:
    """A queue's place in Redis.

    Args:
        name: the queue's name, without ``:``.
        redis: a URL, or a ``redis.asyncio.Redis`` of the caller's, which is not closed here.
        prefix: BullMQ's key prefix.
        timeout_seconds: how long a call may take before its connection is given up.

    Raises:
        InvalidOption: a name or URL that can't be used.
    """

    def __init__(
        self,
        name: str,
        *,
        redis: str | Redis = DEFAULT_REDIS,
        prefix: str = DEFAULT_PREFIX,
        timeout_seconds: float = COMMAND_TIMEOUT_SECONDS,
    ) -> None:
        if not isinstance(redis, str | Redis | RedisCluster):
            raise InvalidOption(
                f"redis must be a URL such as {DEFAULT_REDIS}, or a redis.asyncio.Redis, not a {type(redis).__name__}"
            )
        self.keys = Keys(prefix, name)
        self.name = name
        self.prefix = prefix
        self._owned = isinstance(redis, str)
        self._url = redis if isinstance(redis, str) else None
        check_slot(redis, prefix, name)
        self._redis = connect(redis, socket_timeout=timeout_seconds)
        self._home = home_of(self._redis)
        self.scripts = Scripts(self._redis, self.keys)
        self._results = Results(self._redis, self._url, self.keys)
        self._beside: dict[str, Self] = {}
        self._opts: dict[bytes | str, dict[str, Any]] = {}
        self.max_payload_bytes = jsonio.MAX_PAYLOAD_BYTES
        #: Milliseconds of a lease that a running job's own call takes again where it ran out: as long as those of its
        #: worker, which goes on with it and says so here.
        self.lease_ms = 30_000
        #: Attempts of a job that was added without a word of them, where a worker follows settings that say how many.
        self.default_attempts: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes what this object opened, all of it, whatever of that fails."""
        async with contextlib.AsyncExitStack() as closing:
            if self._owned:
                closing.push_async_callback(self.redis.aclose)
            closing.push_async_callback(self.scripts.close)
            closing.push_async_callback(self._results.close)
            for other in self._beside.values():
                closing.push_async_callback(other.close)

    @property
    def redis(self) -> Redis:
        """The client, on the event loop that asks for it.

        Raises:
            CrewlineError: its connections are another loop's, which is not closed.
        """
        self._home.enter()
        return self._redis

    @property
    def url(self) -> str:
        """The Redis URL, for reads that block a connection of their own."""
        return needed(self._url)

    def beside(self, name: str) -> Self:
        """The queue of that name under the same prefix, over this one's connections, and closed with this one."""
        if name == self.name:
            return self
        other = self._beside.get(name)
        if other is None:
            other = self._beside[name] = type(self)(name, redis=self._redis, prefix=self.prefix)
            other._url = self._url
            other.max_payload_bytes = self.max_payload_bytes
            other._results = Results(self._redis, self._url, other.keys)
        return other

    async def read_hash(self, key: str) -> dict[Any, Any]:
        """A hash that may be large: Redis serves others between two parts of it.

        What is written meanwhile may be told or not.
        """
        stored: dict[Any, Any] = {}
        cursor, count = 0, READ_FIRST
        while True:
            reply: Any = await self.redis.hscan(key, cursor, count=count)
            cursor, part = reply
            stored |= part
            if not cursor:
                return stored
            count = next_count(count, [len(each) for each in part.values()])

    async def read_list(self, key: str) -> list[Any]:
        """A list that may be large, as `read_hash`."""
        stored: list[Any] = []
        count = READ_FIRST
        while part := await self.redis.lrange(key, len(stored), len(stored) + count - 1):
            stored += part
            if len(part) < count:
                break
            count = next_count(count, [len(each) for each in part])
        return stored

    def decode_opts(self, encoded: bytes | str | None) -> dict[str, Any]:
        """A job's options, read-only; {} if they can't be read.

        Most jobs share theirs, so that decoded ones are kept.
        """
        if not encoded:
            return NO_OPTS
        opts = self._opts.get(encoded)
        if opts is None:
            try:
                opts = jsonio.loads(encoded, "opts")
            except InvalidPayload:
                opts = None
            opts = readonly(opts if isinstance(opts, dict) else {})
            if len(self._opts) > MOST_OPTS:
                self._opts.clear()
            self._opts[encoded] = opts
        return opts
