"""Results that Redis refuses hold up no others.

A call that Redis refuses is sent again. Where what it carries may be the reason, each of its results goes by itself
from then on, so that the others are taken; one that is refused by itself is told of, and is tried again by and by: its
job is this worker's meanwhile.

Redis refuses a call at its beginning, or in its middle: some of it may have been carried out then, and what it says of
such a result later tells nothing of how its job fared (see settling.py).
"""

from __future__ import annotations

import asyncio
import logging

from redis.exceptions import DataError

from crewline.redis.connection import UNAVAILABLE
from crewline.redis.refusals import is_full, tells_of_server
from crewline.redis.scripts import Result
from crewline.worker.calls.call import HURRIED_SECONDS, Call
from crewline.worker.runs.run import Run
from crewline.worker.runs.slots import Slots

log = logging.getLogger("crewline.worker")

#: Seconds until a result that was refused by itself is tried again.
AGAIN_SECONDS = 1.0


class Refused:
    """Results of one worker that were refused.

    Args:
        queue_name: of its queue.
        slots: the worker's.
    """

    def __init__(self, queue_name: str, slots: Slots) -> None:
        self._queue_name = queue_name
        self._slots = slots
        self._again_seconds = AGAIN_SECONDS
        self._waiting: dict[Run, tuple[asyncio.TimerHandle, Result]] = {}

    @property
    def waiting(self) -> int:
        """How many results wait to be tried again."""
        return len(self._waiting)

    def take(self, call: Call, error: Exception) -> bool:
        """Takes from a call what it carries, where that may be why it failed; returns whether it did."""
        if not call.carried or not may_be_of_results(error):
            return False
        carried, call.carried = call.carried, []
        if not isinstance(error, UNAVAILABLE) and any(run.refused != str(error) for run, _ in carried):
            log.error("a call to Redis failed unexpectedly: it is made again", exc_info=error)
        if len(carried) > 1:
            for run, _ in carried:
                run.refused = run.refused or ""
            self._slots.ended.extendleft(reversed(carried))
            self._slots.work.set()
        else:
            self._wait(*carried[0], error)
        return True

    def hurry(self) -> None:
        """The worker stops: what waits is tried again soon."""
        self._again_seconds = HURRIED_SECONDS
        for run in list(self._waiting):
            self._again(run)

    def _wait(self, run: Run, result: Result, error: Exception) -> None:
        if run.refused != str(error):
            log.error(
                "job %s of queue %s: Redis refuses how it ended (%s): %s; tried again each second, and no other job "
                "waits for it", result.job_id, self._queue_name, result.outcome, error,
            )  # fmt: skip
        run.refused = str(error)
        timer = asyncio.get_running_loop().call_later(self._again_seconds, self._again, run)
        self._waiting[run] = timer, result

    def _again(self, run: Run) -> None:
        timer, result = self._waiting.pop(run)
        timer.cancel()
        self._slots.ended.append((run, result))
        self._slots.work.set()


def may_be_of_results(error: Exception) -> bool:
    """Whether what a call carried may be why it failed: the script met something, or it could not be sent at all."""
    if isinstance(error, UNAVAILABLE):
        of_server = tells_of_server(error) or is_full(error)
        return isinstance(error, DataError) or ("user_script" in str(error) and not of_server)
    return True
