"""Typed calls of the scripts in ``change``: what is done to single jobs, or to many of a state."""

from __future__ import annotations

from crewline.redis.scripts.calls.caller import Caller
from crewline.redis.scripts.values import MOST_REMOVED
from crewline.wire.retention import KEEP_FAILED


class ChangeCalls(Caller):
    """The calls in ``change``: what is done to single jobs, or to many of a state."""

    async def cancel_job(self, job_id: str, reason: str) -> int:
        return await self.code_of("cancel_job", job_id, reason, KEEP_FAILED.script)

    async def retry_job(self, job_id: str, fresh: bool) -> int:
        return await self.code_of("retry_job", job_id, "1" if fresh else "")

    async def retry_jobs(self, state: str, until_ms: int, most: int, fresh: bool) -> int:
        return await self.code_of("retry_jobs", state, until_ms, most, "1" if fresh else "")

    async def promote_jobs(self, most: int, *job_ids: str) -> int:
        return int(await self.call("promote_jobs", most, *job_ids))

    async def change_delay(self, job_id: str, delay: str) -> int:
        return int(await self.call("change_delay", job_id, delay))

    async def change_priority(self, job_id: str, priority: int, first: bool) -> int:
        return int(await self.call("change_priority", job_id, priority, "1" if first else ""))

    async def update_data(self, job_id: str, data: str) -> int:
        return int(await self.call("update_data", job_id, data))

    async def remove_job(self, job_id: str, children: bool, most: int = MOST_REMOVED) -> int:
        code = 2
        while code == 2:
            code = await self.code_of("remove_job", job_id, "1" if children else "", most)
        return code
