"""Typed calls of the scripts in ``upkeep``: what keeps a queue in order."""

from __future__ import annotations

from typing import Any

from crewline.redis.scripts.calls.caller import Caller, bounds
from crewline.redis.scripts.values import MOST_JOBS, MOST_LOOKED_AT, Recovered
from crewline.wire.retention import KEEP_COMPLETED, KEEP_FAILED, Keep
from crewline.wire.text import text


class UpkeepCalls(Caller):
    """The calls in ``upkeep``: what keeps a queue in order."""

    async def recover_stalled(
        self, interval_ms: int, most: int, *, lease_ms: int, once: bool | None = None, window: int = MOST_LOOKED_AT
    ) -> Recovered:
        """One look at all that is active; nothing if another looked within the interval.

        Args:
            most: how often a job may take its worker down.
            once: whether Redis and the workers were up for the whole last lease; None: as Redis itself can tell, by how
                regularly looks came.
        """
        trusted = "" if once is None else str(int(once))
        told = (interval_ms, most, self.keys.stalled_check, lease_ms, trusted)
        return await self._all_active("recover_stalled", told, (window, KEEP_FAILED.script))

    async def hand_back_worker(
        self,
        leases: str,
        cause: str,
        *,
        blame: bool,
        most: int,
        keep_lines: int,
        fatal: str = "",
        larger: bool = False,
        window: int = MOST_LOOKED_AT,
    ) -> Recovered:
        """Gives all that a dead worker ran to others; one pass over what is active, so that what moves meanwhile may be
        left out.

        Args:
            leases: what the tokens of its leases begin with.
            cause: why it died.
            blame: whether one of its jobs may have been the cause.
            most: how often a job may take its worker down.
            keep_lines: of a job's log.
            fatal: ``alone`` or ``sole``: which of them fail at once, as in the script.
            larger: these wait for a larger worker instead, the first time.
        """
        told, bounds = (leases, cause, "1" if blame else "", most, fatal), (window, keep_lines, KEEP_FAILED.script)
        return await self._all_active("hand_back_worker", told, (*bounds, "1" if larger else ""))

    async def _all_active(self, script: str, told: tuple[Any, ...], bounds: tuple[Any, ...]) -> Recovered:
        """Has a script go through all that is active, a part a call; it says by an empty reply that it is not to."""
        found = Recovered([], [], [])
        skip: str | None = ""
        while skip is not None:
            reply = await self.call(script, *told, skip, *bounds)
            if not reply:
                break
            for ids, more in zip(found, reply, strict=False):
                ids.extend(text(job_id) for job_id in more)
            skip = text(reply[3]) or None
            self.tell_refused(reply[4:])
        return found

    async def begin_sweep(self, round_ms: int) -> bool:
        """Whether nobody began a sweep within that time: then this is the caller's."""
        return bool(await self.call("begin_sweep", round_ms))

    async def sweep_jobs(self, state: str, keep: Keep | None, most: int = MOST_JOBS) -> tuple[int, bool]:
        """How many jobs went, and whether there are more to look at.

        ``keep`` is for jobs that say nothing, and goes before what our producers write then; None: nothing was said.
        """
        written = bounds(KEEP_COMPLETED if state == "completed" else KEEP_FAILED)
        said = ("-", "") if keep is None else bounds(keep)
        gone, more, *refused = await self.call("sweep_jobs", state, *said, most, *written)
        self.tell_refused(refused)
        return int(gone), bool(more)

    async def read_clock(self) -> int:
        return int(await self.call("read_clock"))
