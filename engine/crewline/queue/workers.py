"""The part of `Queue` that is about single workers: who they are, asking them to drain, and what becomes of their jobs
when they die. Whoever runs workers goes by it; the operator does.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from crewline.errors import InvalidOption
from crewline.queue.by_id import ById
from crewline.queue.job import MAX_LOG_LINES
from crewline.redis.scripts import Recovered
from crewline.redis.topology import add_time
from crewline.wire.checks import A_MILLISECOND, check_count, check_items, check_seconds, check_text, check_truth
from crewline.wire.drains import DRAIN_SECONDS, drain_key
from crewline.wire.registry import REGISTRY_KEY, TTL_MS, entry_key
from crewline.wire.text import bounded, lenient, text

#: Over what is active, for one dead worker.
MOST_PASSES = 5


class Workers(ById):
    """What `Queue` can tell of its workers and do with them."""

    async def workers(self) -> list[dict[str, Any]]:
        """The workers that are alive (Crewline's; BullMQ's have no such registry): name, slots, running ids, …, and
        ``silent``, the seconds since each was heard of by Redis' clock.
        """
        async with self.redis.pipeline(transaction=False) as pipe:
            await add_time(self.redis, pipe, self.keys.base)
            pipe.zrange(self.keys.extra(REGISTRY_KEY), 0, -1, withscores=True)
            (seconds, micros), found = await pipe.execute()
        now_ms = seconds * 1000 + micros / 1000
        told = await self.redis.mget([self._entry(text(name)) for name, _ in found]) if found else []
        # what no worker wrote tells of none
        return [
            worker | {"silent": max(now_ms - (ends_ms - TTL_MS), 0) / 1000}
            for (_, ends_ms), each in zip(found, told, strict=True)
            if each and isinstance(worker := lenient(each), dict)
        ]

    async def hand_back_worker(
        self,
        worker: Mapping[str, Any],
        cause: str,
        *,
        blame: bool,
        max_crashes: int = 3,
        fail_alone: bool = False,
        larger_first: bool = False,
    ) -> Recovered:
        """Gives all that a worker ran to others at once, where else they would wait until its leases are over.

        Only for one that is known to be dead: a worker that lives loses its jobs, and they run twice.

        Args:
            worker: its entry, as in `workers`.
            cause: why it died, told in the log of each job, and in the reason of one that fails by it.
            blame: whether one of its jobs may have been the cause; they run apart then, as after any silent death.
            max_crashes: how often a job may take its worker down.
            fail_alone: whether a job fails for good at the first time, if nothing ran beside it: then it was the cause.
                The only one that a worker had is found as such while the queue has fewer than 80 active jobs.
            larger_first: whether such a one waits for a larger worker before, once, and fails if that dies of it, too.
        """
        leases = worker.get("leases") if isinstance(worker, Mapping) else None
        check_truth(blame, "blame")
        check_truth(fail_alone, "fail_alone")
        check_truth(larger_first, "larger_first")
        if not isinstance(leases, str) or not leases:
            raise InvalidOption("worker: its entry names no leases, so that its jobs can't be told from others'")
        cause = bounded(check_text(cause, "cause"))
        check_count(max_crashes, "max_crashes")
        found, fatal = Recovered([], [], []), "sole" if blame and fail_alone else ""
        # a pass that finds nothing left nothing out
        for _ in range(MOST_PASSES):
            more = await self.scripts.hand_back_worker(
                leases, cause, blame=blame, most=max_crashes, keep_lines=MAX_LOG_LINES, fatal=fatal, larger=larger_first
            )
            # one that is found later was not the only one
            fatal = "alone" if fatal else ""
            for ids, added in zip(found, more, strict=True):
                ids.extend(added)
            if not any(more):
                break
        name = str(worker.get("name", ""))
        async with self.redis.pipeline(transaction=False) as pipe:
            pipe.zrem(self.keys.extra(REGISTRY_KEY), name)
            pipe.delete(self._entry(name))
            await pipe.execute()
        return found

    def _entry(self, name: str) -> str:
        return self.keys.extra(entry_key(name))

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
            # A request that holds keeps its token, and also holds on where Redis is full and takes no new one.
            for key in keys.values():
                pipe.pexpire(key, lasts_ms)
                pipe.get(key)
            tokens = dict(zip(keys, (await pipe.execute())[1::2], strict=True))
            new = [worker_id for worker_id, token in tokens.items() if not token]
            for worker_id in new:
                # somebody else may have asked since
                pipe.set(keys[worker_id], uuid.uuid4().hex, px=lasts_ms, nx=True)
                pipe.get(keys[worker_id])
            tokens |= zip(new, (await pipe.execute())[1::2] if new else (), strict=True)
        return {worker_id: text(token or b"") for worker_id, token in tokens.items()}

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
