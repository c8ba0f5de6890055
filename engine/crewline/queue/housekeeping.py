"""Keeping a whole queue in order: clean, drain, obliterate, retry, promote, limit, configure.

Everything that may touch many jobs goes in bounded batches: Redis serves others between two of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, NamedTuple

from redis.exceptions import ResponseError

from crewline.errors import CrewlineError, InvalidOption
from crewline.queue.by_id import ById
from crewline.redis.connection import is_wrong_type
from crewline.redis.scripts import MOST_JOBS
from crewline.wire.checks import check_callable, check_count, check_rate, check_seconds, check_truth
from crewline.wire.settings import SETTINGS_KEY, Settings, read_settings
from crewline.wire.text import escaped, text

#: Where those that wait are: BullMQ 5 parks them where somebody pauses the queue.
WAITING = ("wait", "paused", "prioritized")
CLEANABLE = ("completed", "failed", "delayed", "prioritized", "waiting-children", "waiting", "active")

#: Our own key for large flows that are added in parts; see redis/scripts/lib/add/flow_in_parts.lua.
FLOWS_KEY = "flows"
#: Seconds after which the producer of such a flow counts as dead: each part of it is a call of some milliseconds.
ABANDONED_SECONDS = 300.0


class Settled(NamedTuple):
    """What `Queue.settle_flows` did.

    Attributes:
        released: ids of the roots of those flows that were all there: they run.
        removed: how many jobs were removed of each of those that were not, by the root's id.
    """

    released: list[str]
    removed: dict[str, int]


class Housekeeping(ById):
    """The part of `Queue` that changes what is there."""

    async def clean(self, state: str, *, older_than: float = 0.0, limit: int | None = None) -> list[str]:
        """Deletes jobs of one state.

        Args:
            state: ``completed``, ``failed``, ``delayed``, ``waiting`` (``prioritized`` ones, too), ``prioritized``,
                ``waiting-children``, or ``active`` (only those that no worker holds).
            older_than: seconds since they ended, or were added; 0 for all.
            limit: how many at most.

        Returns the ids that were deleted.
        """
        if state not in CLEANABLE:
            raise InvalidOption(f"state {state!r} can't be cleaned: use one of {', '.join(CLEANABLE)}")
        age_seconds = check_seconds(older_than, "older_than")
        if limit is not None:
            check_count(limit, "limit", mend="leave it out for all")
        before = await self.scripts.read_clock() - round(age_seconds * 1000)
        gone: list[str] = []
        for place in WAITING if state == "waiting" else (state,):
            gone += await self._clean(place, before, None if limit is None else limit - len(gone))
        return gone

    async def drain(self, *, delayed: bool = False) -> int:
        """Deletes all jobs that wait now, delayed ones too if asked; returns how many. Those that run go on."""
        states = (*WAITING, *(["delayed"] if check_truth(delayed, "delayed") else []))
        there = [self.redis.llen(self.keys.base + state) for state in states[:2]]
        there += [self.redis.zcard(self.keys.base + state) for state in (*states[2:], "waiting-children")]
        # no more than there are: a producer that goes on adding would keep this going for ever. Parents whose children
        # go come to wait meanwhile, and go as well
        most = left = sum(await asyncio.gather(*there))
        while left:
            before = left
            for state in states:
                left -= len(await self._clean(state, 1 << 52, left, drain=True))
            if left == before:
                break
        return most - left

    async def obliterate(self, *, force: bool = False) -> None:
        """Deletes the queue with all that it holds, its settings too. Pause it first.

        Args:
            force: even while jobs run.

        Raises:
            CrewlineError: it is not paused, or jobs run.
        """
        check_truth(force, "force")
        if await self.redis.hexists(self.keys.meta, "paused"):
            # what a large flow has in other queues is known only here
            with contextlib.suppress(ResponseError):
                await self.settle_flows(older_than=0, on_error=lambda root_id, error: None)
        while True:
            code = await self.scripts.obliterate_queue(MOST_JOBS, force)
            if code == -1:
                raise CrewlineError(f"queue {self.name!r} is not paused: pause it before it is obliterated")
            if code == -2:
                raise CrewlineError(f"jobs of queue {self.name!r} are active: wait for them, or use force=True")
            if code == 1:
                break
        # a throttle's id outlives its job, and nothing of the queue tells of it: the counter of ids begins anew, and it
        # would point at a stranger. Jobs may have been added since the last call: theirs stay
        async for key in self._keys_of("de"):
            if not await self._is_held(key):
                await self.redis.unlink(key)
        async for key in self._keys_of("dn"):
            dedup_id = text(key).removeprefix(f"{self.keys.base}dn:")
            if not await self.redis.exists(f"{self.keys.base}de:{dedup_id}"):
                await self.redis.unlink(key)

    async def _is_held(self, key: Any) -> bool:
        """Whether a job of that deduplication id is there."""
        try:
            holder = await self.redis.get(key)
        except ResponseError as error:
            if not is_wrong_type(error):
                raise
            return False
        return bool(holder and await self.redis.exists(self.keys.job(text(holder))))

    def _keys_of(self, kind: str) -> AsyncIterator[Any]:
        return self.redis.scan_iter(f"{escaped(self.keys.base)}{kind}:*", count=1000)

    async def retry_all(self, state: Literal["failed", "completed"] = "failed", *, fresh: bool = True) -> int:
        """Runs all failed (or completed) jobs again; returns how many. ``fresh``: with all their attempts."""
        if state not in ("failed", "completed"):
            raise InvalidOption(f"state {state!r} can't be retried: use failed or completed")
        check_truth(fresh, "fresh")
        until, total = await self.scripts.read_clock(), 0
        while count := await self.scripts.retry_jobs(state, until, MOST_JOBS, fresh):
            total += count
        return total

    async def promote_all(self) -> int:
        """Lets all jobs run now that are delayed now; returns how many."""
        left, total = await self.redis.zcard(self.keys.delayed), 0
        # no more than there were: those that fail meanwhile and wait for their next attempt would be promoted for ever
        while left > total and (count := await self.scripts.promote_jobs(min(MOST_JOBS, left - total))):
            total += count
        return total

    async def set_global_concurrency(self, most: int | None) -> None:
        """How many jobs may run at once over all workers, ours and others'; None for no bound."""
        if most is not None:
            check_count(most, "concurrency", mend="or None for no bound")
        await self.scripts.limit_queue(concurrency=most)

    async def set_global_rate(self, most: int | None, per_seconds: float = 1.0) -> None:
        """How many jobs may start in ``per_seconds`` over all workers, ours and others'; None for no bound."""
        if most is None:
            await self.scripts.limit_queue(max=None, duration=None)
        else:
            jobs, seconds = check_rate((most, per_seconds))
            await self.scripts.limit_queue(max=jobs, duration=round(seconds * 1000))

    async def settings(self) -> Settings:
        """What the queue's workers are to follow, as far as it can be used; each in `workers` tells what it follows."""
        stored = await self.redis.get(self.keys.extra(SETTINGS_KEY))
        return read_settings(stored, Settings())[0] if stored else Settings()

    async def configure(self, *, generation: int | None = None, **settings: Any) -> int:
        """Sets what the queue's Crewline workers follow; those that run do so within about a second.

        Args:
            generation: the number that a worker tells of what it has applied (``settings`` in `Queue.workers`); one
                more than the last if None.
            settings: all of `Settings` that is to hold. What is left out is each worker's own; with nothing at all the
                settings are removed.

        Returns the generation, 0 if they were removed. Raises InvalidOption: nothing was changed.
        """
        key = self.keys.extra(SETTINGS_KEY)
        unknown = settings.keys() - {field.name for field in dataclasses.fields(Settings)}
        if unknown:
            raise InvalidOption(
                f"no setting is called {', '.join(sorted(unknown))}: use those of crewline.wire.settings.Settings"
            )
        if generation is None and all(value is None for value in settings.values()):
            await self.redis.delete(key)
            return 0
        wanted = Settings(generation=0 if generation is None else generation, **settings)
        if generation is None:
            # two at once may take the same number; workers tell settings apart by their text
            wanted = dataclasses.replace(wanted, generation=(await self.settings()).generation + 1)
        await self.redis.set(key, wanted.to_json())
        return wanted.generation

    async def settle_flows(
        self, *, older_than: float = ABANDONED_SECONDS, on_error: Callable[[str, Exception], None] | None = None
    ) -> Settled:
        """Settles large flows whose producer died while it added them: workers do so once a minute.

        A flow that is all there runs; of another, whose producer never heard that it was added, nothing is left.

        Args:
            older_than: seconds since its producer was heard of.
            on_error: told of the id of each root that Redis refuses (a key of another type), and why; the others are
                settled all the same. None: it is raised.
        """
        age_seconds = check_seconds(older_than, "older_than")
        if on_error is not None:
            check_callable(on_error, "on_error")
        before = await self.scripts.read_clock() - round(age_seconds * 1000)
        settled = Settled([], {})
        for found in await self.redis.zrangebyscore(self.keys.extra(FLOWS_KEY), "-inf", before, 0, MOST_JOBS):
            root_id = text(found)
            try:
                gone = await self._settle_flow(root_id, before)
            except ResponseError as error:
                if on_error is None:
                    raise
                on_error(root_id, error)
            else:
                if gone is None:
                    settled.released.append(root_id)
                else:
                    settled.removed[root_id] = gone
        return settled

    async def _settle_flow(self, root_id: str, before: int) -> int | None:
        """Returns how many jobs were removed; None if it was all there."""
        gone, more = 0, 1
        while more == 1:
            count, more = await self.scripts.give_up_flow(root_id, before)
            gone += count
        if more != 2:
            return gone
        while await self.scripts.release_flow(root_id) > 0:
            pass
        return None

    async def _clean(self, state: str, before: int, limit: int | None, *, drain: bool = False) -> list[str]:
        gone: list[str] = []
        skip = 0
        while limit is None or len(gone) < limit:
            most = MOST_JOBS if limit is None else min(MOST_JOBS, limit - len(gone))
            ids, kept = await self.scripts.clean_jobs(state, before, most, skip, drain)
            gone += ids
            skip += kept
            if not ids and not kept:
                break
        return gone
