"""Sends scripts to Redis; what the typed calls stand on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from crewline.redis.lanes import Lanes
from crewline.redis.scripts.sources import sha, source
from crewline.wire.keys import Keys
from crewline.wire.retention import Keep
from crewline.wire.text import text

log = logging.getLogger("crewline.queue")


class Caller:
    """Calls scripts for one queue, on one connection pool.

    Attributes:
        on_refused: called with what Redis has refused of what a script does beside its purpose, "<key or id>: <why>"
            each: a parent in another queue was not told of its child's end, say. Without anything else, it is logged.
    """

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self.on_refused: Callable[[list[str]], None] = self._warn
        self.redis = redis
        self.keys = keys
        self._declared = keys.declared()
        #: Where a call with a token notes that it was repeated.
        self._repeated = keys.extra("repeated:")
        self._lanes = Lanes(redis)

    def _warn(self, refused: list[str]) -> None:
        for each in refused:
            log.warning("queue %s: Redis refused what else a call had to do, %s", self.keys.queue, each)

    async def renew(self) -> None:
        """Makes the next calls on new connections; see `Lanes.renew`."""
        await self._lanes.renew()

    async def close(self) -> None:
        """Closes the connections of its own; the client stays as it is."""
        await self._lanes.close()

    def command(self, name: str, *args: str | int | bytes) -> tuple[Any, ...]:
        """A script's call as a command, for callers that send it themselves; Redis may not know the script."""
        return ("EVALSHA", sha(name), len(self._declared), *self._declared, self.keys.base, *args)

    def tell_refused(self, told: Sequence[list[bytes | str]]) -> None:
        """Passes on what stands behind the rest of a reply, where something was refused."""
        for refused in told:
            self.on_refused([text(each) for each in refused])

    async def code_of(self, name: str, *args: str | int | bytes) -> int:
        """Runs a script that returns a number; a list of that and what was refused beside it, if anything was."""
        reply = await self.call(name, *args)
        if isinstance(reply, list):
            self.tell_refused(reply[1:])
            return int(reply[0])
        return int(reply)

    async def call(self, name: str, *args: str | int | bytes) -> Any:
        """Runs a script; loads it first where Redis does not know it yet (a restart, a failover)."""
        declared = self._declared
        try:
            return await self._lanes.call(*self.command(name, *args))
        except NoScriptError:
            return await self._lanes.call("EVAL", source(name), len(declared), *declared, self.keys.base, *args)
        except ResponseError as error:
            if "exhausted the last possible ID" not in str(error):
                raise
            raise ResponseError(
                f"the last id of an event stream was set to the largest there is, and no event can be written: delete "
                f"it (DEL {self.keys.events}, or that of the queue that these jobs go to): {error}"
            ) from error


def bounds(keep: Keep) -> tuple[int | str, int | str]:
    """Count and age as scripts take them, '' for no bound."""
    return "" if keep.count is None else keep.count, "" if keep.age_seconds is None else keep.age_seconds
