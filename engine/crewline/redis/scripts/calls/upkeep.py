"""Typed calls of the scripts in ``upkeep``: what keeps a queue in order."""

from __future__ import annotations

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
        found = Recovered([], [], [])
        trusted = "" if once is None else str(int(once))
        skip: str | None = ""
        while skip is not None:
            told = (
                interval_ms, most, self.keys.stalled_check, lease_ms, trusted, skip, window, KEEP_FAILED.script,
            )  # fmt: skip
            reply = await self.call("recover_stalled", *told)
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

    async def sweep_jobs(self, state: str, keep: Keep, most: int = MOST_JOBS) -> tuple[int, bool]:
        """How many jobs went, and whether there are more to look at; ``keep`` is for those that say nothing."""
        written = bounds(KEEP_COMPLETED if state == "completed" else KEEP_FAILED)
        gone, more, *refused = await self.call("sweep_jobs", state, *bounds(keep), most, *written)
        self.tell_refused(refused)
        return int(gone), bool(more)

    async def read_clock(self) -> int:
        return int(await self.call("read_clock"))
