"""Keeping a queue in order: clean, drain, obliterate, retry, promote, change.

Everything that may touch many jobs goes in bounded batches: Redis serves others between two of them.
"""

from __future__ import annotations

import dataclasses
import datetime
from typing import TYPE_CHECKING, Any, Literal

from crewline.errors import CrewlineError, InvalidOption, JobNotFound
from crewline.redis.scripts import MOST_JOBS, Scripts
from crewline.wire import jsonio
from crewline.wire.keys import Keys
from crewline.wire.options import check_priority, delay_to_script
from crewline.wire.settings import SETTINGS_KEY, Settings, read_settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

CLEANABLE = ("completed", "failed", "delayed", "prioritized", "waiting-children", "wait", "paused", "active")


class Housekeeping:
    """The part of `Queue` that changes what is there."""

    name: str
    keys: Keys
    redis: Redis
    scripts: Scripts

    async def clean(self, state: str, *, older_than: float = 0.0, limit: int | None = None) -> list[str]:
        """Deletes jobs of one state.

        Args:
            state: ``completed``, ``failed``, ``delayed``, ``prioritized``, ``waiting-children``, ``wait``, ``paused``
                or ``active`` (only those that no worker holds).
            older_than: seconds since they ended, or were added; 0 for all.
            limit: how many at most.

        Returns the ids that were deleted.
        """
        if state not in CLEANABLE:
            raise InvalidOption(f"state {state!r} can't be cleaned: use one of {', '.join(CLEANABLE)}")
        before = await self.scripts.read_clock() - round(older_than * 1000)
        return await self._clean(state, before, limit)

    async def drain(self, *, delayed: bool = False) -> int:
        """Deletes all jobs that wait, delayed ones too if asked; returns how many. Those that run go on."""
        states = ["wait", "paused", "prioritized", *(["delayed"] if delayed else [])]
        return sum([len(await self._clean(state, 1 << 52, None, quiet=True)) for state in states])

    async def obliterate(self, *, force: bool = False) -> None:
        """Deletes the queue with all that it holds, its settings too. Pause it first.

        Args:
            force: even while jobs run.

        Raises:
            CrewlineError: it is not paused, or jobs run.
        """
        while True:
            code = await self.scripts.obliterate_queue(MOST_JOBS, force)
            if code == -1:
                raise CrewlineError(f"queue {self.name!r} is not paused: pause it before it is obliterated")
            if code == -2:
                raise CrewlineError(f"jobs of queue {self.name!r} are active: wait for them, or use force=True")
            if code == 1:
                return

    async def retry_all(self, state: Literal["failed", "completed"] = "failed", *, fresh: bool = True) -> int:
        """Runs all failed (or completed) jobs again; returns how many. ``fresh``: with all their attempts."""
        until, total = await self.scripts.read_clock(), 0
        while count := await self.scripts.retry_jobs(state, until, MOST_JOBS, fresh):
            total += count
        return total

    async def promote_all(self) -> int:
        """Lets all delayed jobs run now; returns how many."""
        total = 0
        while count := await self.scripts.promote_jobs(MOST_JOBS):
            total += count
        return total

    async def retry(self, job_id: str, *, fresh: bool = True) -> None:
        """Runs a finished job again. Raises JobNotFound, or CrewlineError if it has not ended."""
        self._found(job_id, await self.scripts.retry_job(job_id, fresh), "has not ended")

    async def cancel(self, job_id: str, reason: str = "cancelled") -> bool:
        """Ends a job from outside: it fails with ``reason``, without a retry and without a dead letter.

        One that waits fails at once. One that runs is stopped by its worker within about a second; a handler in a
        thread can't be stopped, and its end is thrown away.

        Returns False if it had ended already. Raises JobNotFound.
        """
        code = await self.scripts.cancel_job(job_id, reason)
        self._found(job_id, code, "")
        return code != 0

    async def promote(self, job_id: str) -> None:
        """Lets a delayed job run now. Raises JobNotFound, or CrewlineError if it is not delayed."""
        if not await self.scripts.promote_jobs(1, job_id):
            exists = await self.redis.exists(self.keys.job(job_id))
            self._found(job_id, -3 if exists else -1, "is not delayed")

    async def change_delay(self, job_id: str, delay: float | datetime.timedelta | datetime.datetime) -> None:
        """Makes a delayed job due ``delay`` from now, or at that moment. Raises as `promote`."""
        code = await self.scripts.change_delay(job_id, delay_to_script(delay))
        self._found(job_id, code, "is not delayed")

    async def change_priority(self, job_id: str, priority: int, *, first: bool = False) -> None:
        """Gives a job another priority; ``first`` puts it before its equals. Raises JobNotFound."""
        code = await self.scripts.change_priority(job_id, check_priority(priority), first)
        self._found(job_id, code, "")

    async def update_data(self, job_id: str, data: Any) -> None:
        """Replaces a job's data. Raises JobNotFound or InvalidPayload."""
        self._found(job_id, await self.scripts.update_data(job_id, jsonio.dumps(data, "data")), "")

    async def set_global_concurrency(self, most: int | None) -> None:
        """How many jobs may run at once over all workers, ours and others'; None for no bound."""
        if most is not None and most < 1:
            raise InvalidOption(f"concurrency {most!r} must be 1 or more, or None")
        await self.scripts.limit_queue(concurrency=most)

    async def set_global_rate(self, most: int | None, per_seconds: float = 1.0) -> None:
        """How many jobs may start in ``per_seconds`` over all workers, ours and others'; None for no bound."""
        if most is not None and (most < 1 or not per_seconds > 0):
            raise InvalidOption(f"rate {most!r} per {per_seconds!r} s: both must be more than 0")
        await self.scripts.limit_queue(max=most, duration=None if most is None else round(per_seconds * 1000))

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
        if generation is None:
            # two at once may take the same number; workers tell settings apart by their text
            last, _ = read_settings(await self.redis.get(key) or "{}", Settings())
            generation = last.generation + 1
        await self.redis.set(key, Settings(generation=generation, **settings).to_json())
        return generation

    async def _clean(self, state: str, before: int, limit: int | None, *, quiet: bool = False) -> list[str]:
        gone: list[str] = []
        skip = 0
        while limit is None or len(gone) < limit:
            most = MOST_JOBS if limit is None else min(MOST_JOBS, limit - len(gone))
            ids, kept = await self.scripts.clean_jobs(state, before, most, skip, quiet)
            gone += ids
            skip += kept
            if not ids and not kept:
                break
        return gone

    def _found(self, job_id: str, code: int, otherwise: str) -> None:
        if code == -1:
            raise JobNotFound(f"there is no job {job_id} in queue {self.name!r}")
        if code == -3:
            raise CrewlineError(f"job {job_id} of queue {self.name!r} {otherwise}: nothing was changed")
