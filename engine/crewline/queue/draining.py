"""Asking single workers to fetch nothing more, for whoever is to end them: the operator scales in by it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from crewline.queue.by_id import ById
from crewline.wire.checks import A_MILLISECOND, check_items, check_seconds, check_text
from crewline.wire.drains import DRAIN_SECONDS, drain_key
from crewline.wire.text import text


class Draining(ById):
    """The part of `Queue` that drains workers."""

    async def drain_workers(self, worker_ids: Sequence[str], *, seconds: float = DRAIN_SECONDS) -> dict[str, str]:
        """Asks workers to fetch nothing more; what they run goes on, and they stay in the list of workers.

        A worker follows within about a second: its entry in `workers` has the request's token as ``drain`` then, and as
        ``held`` how many jobs it has or may be given yet. It has none, and gets none, once that is 0.

        Args:
            worker_ids: the ``id`` of each, also of one that has not begun yet.
            seconds: for how long, unless they are asked again before.

        Returns the token of each one's request: the same as before as long as that holds, a new one otherwise.
        """
        keys = self._drain_keys(worker_ids)
        lasts_ms = round(check_seconds(seconds, "seconds", A_MILLISECOND) * 1000)
        async with self.redis.pipeline(transaction=False) as pipe:
            for key in keys.values():
                # a request that holds keeps its token
                pipe.set(key, uuid.uuid4().hex, px=lasts_ms, nx=True)
                pipe.pexpire(key, lasts_ms)
                pipe.get(key)
            replies = await pipe.execute()
        return {worker_id: text(token or b"") for worker_id, token in zip(keys, replies[2::3], strict=True)}

    async def undrain_workers(self, worker_ids: Sequence[str]) -> None:
        """Lets workers fetch again; those that nobody has asked go on as they do."""
        keys = self._drain_keys(worker_ids)
        if keys:
            await self.redis.delete(*keys.values())

    async def drains(self, worker_ids: Sequence[str]) -> dict[str, str]:
        """The tokens of the requests that hold, of those workers that are asked."""
        keys = self._drain_keys(worker_ids)
        tokens = await self.redis.mget(list(keys.values())) if keys else []
        return {worker_id: text(token) for worker_id, token in zip(keys, tokens, strict=True) if token}

    def _drain_keys(self, worker_ids: Sequence[str]) -> dict[str, str]:
        ids = check_items(worker_ids, "worker_ids", "a list of ids")
        return {check_text(each, "worker_ids"): self.keys.extra(drain_key(each)) for each in ids}
