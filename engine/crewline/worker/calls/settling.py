"""What Redis says of the results that a call has carried: taken, refused, or to be told another way."""

from __future__ import annotations

import logging

from crewline.queue.by_id import ById
from crewline.redis.scripts import Result
from crewline.worker.calls.call import Call
from crewline.worker.runs.run import Run
from crewline.worker.runs.slots import Slots
from crewline.worker.runs.verdicts import Verdicts

log = logging.getLogger("crewline.worker")

#: The code of a result whose lease had run out; see finish_and_fetch.lua.
EXPIRED = -2
#: Why Redis refused a result.
REFUSED = {
    -1: "the job was removed",
    EXPIRED: "its lease ran out, and others were given the job",
    -3: "it is not active any more",
    -6: "another worker runs it now",
}
#: Codes of a job that waits for children it added.
CHILDREN = {-4: "children of the job have not ended", -9: "a child of the job failed"}


class Settling:
    """Settles results for one worker.

    Args:
        queue: the queue.
        slots, verdicts: the worker's.
        lease_ms: the length of a lease, in milliseconds.
    """

    def __init__(self, queue: ById, slots: Slots, verdicts: Verdicts, lease_ms: int) -> None:
        self._queue = queue
        self._slots = slots
        self._verdicts = verdicts
        self._lease_ms = lease_ms

    def settle(self, call: Call, codes: list[int]) -> None:
        """Takes in the code of each result; left with the call are those that `take_again` is to be made for."""
        expired: list[tuple[Run, Result]] = []
        for (run, result), code in zip(call.carried, codes, strict=True):
            if code in CHILDREN:
                self._slots.settle(run, self._verdicts.failed(run, CHILDREN[code], ""))
            elif code == EXPIRED and run.lease.started and not run.taken_again:
                expired.append((run, result))
            else:
                self._settled(run, result, code)
        call.carried = expired

    async def take_again(self, call: Call) -> None:
        """Settles once more what nobody else has fetched since its lease ran out; the rest is refused.

        Where Redis does not say, it raises, and nothing has changed.
        """
        arguments = [part for run, _ in call.carried for part in (run.job.id, *run.lease)]
        lost = await self._queue.scripts.extend_leases(self._lease_ms, *arguments)
        for run, result in call.carried:
            if run.job.id in lost:
                self._settled(run, result, EXPIRED)
            else:
                run.taken_again = True
                self._slots.ended.append((run, result))
        call.carried = []
        self._slots.work.set()

    def _settled(self, run: Run, result: Result, code: int) -> None:
        self._slots.forget_lease(run)
        if not code or run.unknown:
            return
        if run.refused is None:
            log.warning(
                "job %s of queue %s: how it ended (%s) was refused: %s",
                result.job_id, self._queue.name, result.outcome, REFUSED.get(code, str(code)),
            )  # fmt: skip
        else:
            # in the middle of a call, after it had been written, perhaps
            log.warning(
                "job %s of queue %s is not this worker's any more: it is where Redis put it when it refused the rest "
                "of how it ended (%s), or others were given it meanwhile",
                result.job_id, self._queue.name, result.outcome,
            )  # fmt: skip
