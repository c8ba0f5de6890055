"""Typed calls of the scripts in ``queue``: what is done to a whole queue."""

from __future__ import annotations

import itertools

from crewline.redis.scripts.calls.caller import Caller
from crewline.wire.settings import SETTINGS_KEY
from crewline.wire.text import text


class QueueCalls(Caller):
    """The calls in ``queue``: what is done to a whole queue."""

    async def pause_queue(self) -> bool:
        return bool(await self.call("pause_queue"))

    async def resume_queue(self) -> bool:
        changed, left = await self.call("resume_queue")
        while left:
            changed, left = await self.call("resume_queue")
        return bool(changed)

    async def limit_queue(self, settings: str = "", **limits: int | None) -> None:
        """Sets the queue's own limits (``concurrency``, ``max``, ``duration``) and wakes workers; None for no bound.

        Args:
            settings: what the queue's workers follow from the same moment on; '' leaves that as it is.
        """
        pairs = ((name, "" if value is None else value) for name, value in limits.items())
        await self.call("limit_queue", self.keys.extra(SETTINGS_KEY), settings, *itertools.chain.from_iterable(pairs))

    async def clean_jobs(self, state: str, before_ms: int, most: int, skip: int, drain: bool) -> tuple[list[str], int]:
        ids, kept, *refused = await self.call("clean_jobs", state, before_ms, most, skip, "1" if drain else "")
        self.tell_refused(refused)
        return [text(job_id) for job_id in ids], int(kept)

    async def obliterate_queue(self, most: int, force: bool) -> int:
        return await self.code_of("obliterate_queue", most, "1" if force else "")
