"""What can be done with one job, by its id: find its state, wait for its end, change what becomes of it."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import AsyncIterator
from typing import Any

from crewline.errors import CrewlineError, JobNotFound
from crewline.queue.at_once import read_at_once
from crewline.queue.events import Event, Update, check_event_id, follow, follow_batches, last_event_id
from crewline.queue.results import ENDS, LOOK_SECONDS
from crewline.queue.store import Store
from crewline.redis.connection import UNAVAILABLE
from crewline.wire import jsonio
from crewline.wire.checks import check_string, check_text, check_truth
from crewline.wire.keys import is_job_id
from crewline.wire.options import check_priority, delay_to_script
from crewline.wire.text import bounded, lenient

#: Events that tell a job's state.
STATES = ("waiting", "active", "delayed", "waiting-children", *ENDS)


class ById(Store):
    """The part of `Queue` that deals with single jobs."""

    async def job_state(self, job_id: str) -> str:
        """The state of the job with that id; see `Job.state`."""
        if not self._is_id(job_id):
            return "unknown"
        keys = self.keys

        def look(pipe: Any) -> None:
            for key in (keys.completed, keys.failed, keys.delayed, keys.prioritized, keys.waiting_children):
                pipe.zscore(key, job_id)
            for key in (keys.active, keys.wait, keys.paused):
                pipe.lpos(key, job_id)

        found = await read_at_once(self.redis, look)
        for place in found:
            if isinstance(place, Exception):
                raise place
        states = ("completed", "failed", "delayed", "waiting", "waiting-children", "active", "waiting", "waiting")
        return next((state for state, place in zip(states, found, strict=True) if place is not None), "unknown")

    async def wait_for_result(self, job_id: str, timeout: float | None = None) -> Any:
        """As `Job.result`, by id."""
        self._check_id(job_id)
        return await self._results.wait(job_id, timeout)

    async def last_event_id(self) -> str:
        """The id of the newest event, to follow from later with `events`."""
        return await last_event_id(self.redis, self.keys)

    async def events(self, after: str | None = None) -> AsyncIterator[Event]:
        """Yields events as they happen, from now on, or after the entry ``after``. Never ends by itself.

        Raises InvalidOption for an ``after`` that is no entry's id.
        """
        start = check_event_id(after) if after is not None else await last_event_id(self.redis, self.keys)
        async for event in follow(self.url, self.keys, start):
            yield event

    async def watch(self, job_id: str) -> AsyncIterator[Update]:
        """As `Job.watch`, by id."""
        self._check_id(job_id)
        after = await self.last_event_id()
        now = await self._now(job_id)
        if now is None:
            raise JobNotFound(f"there is no job {job_id} in queue {self.name!r}")
        yield now
        if now.state in ENDS:
            return
        looked_at = time.monotonic()
        async with contextlib.aclosing(follow_batches(self.url, self.keys, after)) as batches:
            async for batch in batches:
                for event in batch.events:
                    if event.job_id != job_id:
                        continue
                    if event.name == "progress":
                        now = Update(now.state, lenient(event.fields.get("data", "null")))
                        yield now
                    elif event.name in STATES:
                        now = Update(event.name, now.progress)
                        yield now
                        if now.state in ENDS:
                            return
                # its end may have been told while nobody listened, or not at all, as with obliterate
                if not batch.whole or time.monotonic() - looked_at >= LOOK_SECONDS:
                    looked_at = time.monotonic()
                    with contextlib.suppress(*UNAVAILABLE):
                        found = await self._now(job_id) or Update("removed", now.progress)
                        if found.state in ENDS:
                            yield found
                            return

    async def _now(self, job_id: str) -> Update | None:
        """The job's state and progress; None if there is none."""
        name, stored = await self.redis.hmget(self.keys.job(job_id), "name", "progress")
        return None if name is None else Update(await self.job_state(job_id), lenient(stored) if stored else 0)

    async def retry(self, job_id: str, *, fresh: bool = True) -> None:
        """Runs a finished job again. Raises JobNotFound, or CrewlineError if it has not ended."""
        self._check_id(job_id)
        self._found(job_id, await self.scripts.retry_job(job_id, check_truth(fresh, "fresh")), "has not ended")

    async def cancel(self, job_id: str, reason: str = "cancelled") -> bool:
        """Ends a job from outside: it fails with ``reason``, without a retry and without a dead letter.

        One that waits fails at once. One that runs is stopped by its worker within about a second; a handler in a
        thread can't be stopped, and its end is thrown away.

        Returns False if it had ended already. Raises JobNotFound.
        """
        self._check_id(job_id)
        code = await self.scripts.cancel_job(job_id, bounded(check_string(reason, "reason")))
        self._found(job_id, code, "")
        return code != 0

    async def promote(self, job_id: str) -> None:
        """Lets a delayed job run now. Raises JobNotFound, or CrewlineError if it is not delayed."""
        self._check_id(job_id)
        if not await self.scripts.promote_jobs(1, job_id):
            exists = await self.redis.exists(self.keys.job(job_id))
            self._found(job_id, -3 if exists else -1, "is not delayed")

    async def change_delay(self, job_id: str, delay: float | datetime.timedelta | datetime.datetime) -> None:
        """Makes a delayed job due ``delay`` from now, or at that moment. Raises as `promote`."""
        self._check_id(job_id)
        code = await self.scripts.change_delay(job_id, delay_to_script(delay))
        self._found(job_id, code, "is not delayed")

    async def change_priority(self, job_id: str, priority: int, *, first: bool = False) -> None:
        """Gives a job another priority; ``first`` puts it before its equals. Raises JobNotFound."""
        self._check_id(job_id)
        code = await self.scripts.change_priority(job_id, check_priority(priority), check_truth(first, "first"))
        self._found(job_id, code, "")

    async def update_data(self, job_id: str, data: Any) -> None:
        """Replaces a job's data. Raises JobNotFound or InvalidPayload."""
        self._check_id(job_id)
        self._found(
            job_id, await self.scripts.update_data(job_id, jsonio.dumps(data, "data", self.max_payload_bytes)), ""
        )

    async def remove(self, job_id: str, *, children: bool = True) -> bool:
        """Deletes a job; False if a worker runs it now, or there is none.

        Args:
            children: a flow's jobs below it go as well, or, where a worker runs one of them, nothing does. More than
                80 go in several calls, those that are furthest below first: what went before a running one was met is
                gone then.

        Raises:
            CrewlineError: there are more levels of jobs below it than one call may remove.
        """
        check_truth(children, "children")
        if not self._is_id(job_id):
            return False
        code = await self.scripts.remove_job(job_id, children)
        if code == -7:
            raise CrewlineError(
                f"job {job_id} of queue {self.name!r} has too many levels of jobs below it: "
                "remove some of those first, or pass children=False"
            )
        return code == 1

    def _is_id(self, job_id: str) -> bool:
        """Whether there can be such a job: a script would take a key of the queue's own for one."""
        return job_id != "" and is_job_id(check_text(job_id, "job id"))

    def _check_id(self, job_id: str) -> None:
        if not self._is_id(job_id):
            raise JobNotFound(f"there is no job {job_id} in queue {self.name!r}")

    def _found(self, job_id: str, code: int, otherwise: str) -> None:
        if code == -1:
            raise JobNotFound(f"there is no job {job_id} in queue {self.name!r}")
        if code == -3:
            raise CrewlineError(f"job {job_id} of queue {self.name!r} {otherwise}: nothing was changed")
