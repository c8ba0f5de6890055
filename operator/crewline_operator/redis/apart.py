"""Which queues of a Redis are read apart, so that one whose keys hold too much is nobody else's trouble.

Queues are read many at a time. Where the answer is larger than a connection takes in, the half of them is read, and so
on, until it is known which one it is. That one is read alone from then on, and without its events: a job's result of
some MB is a usual last event, and leaves the queue one that is polled. Is it too large even so, that is its fault.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from crewline_operator.model.fault import TOO_LARGE, Fault
from crewline_operator.redis.answers import ANSWER_MAX_BYTES, AnswerTooLarge
from crewline_operator.redis.bounded import shown_size
from crewline_operator.redis.reading import Snapshot, Target

Found = dict[Target, Snapshot | Fault]
#: Reads queues, and their events if these may be looked at.
Read = Callable[[Sequence[Target], bool], Awaitable[Found]]

#: After this one is read with its events again.
AGAIN_SECONDS = 60.0


class Apart:
    """Those of one Redis."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        #: Until when each is read without its events.
        self._until: dict[Target, float] = {}

    async def read(self, targets: Sequence[Target], read: Read) -> Found:
        """Have all of them read, those that are read apart after the others; raises what `read` raises else."""
        apart = [target for target in targets if target in self._until]
        found = await self._together([target for target in targets if target not in self._until], read)
        for target in apart:
            found |= await self._alone(target, read)
        return found

    def forget(self, target: Target) -> None:
        """A queue is not read any more."""
        self._until.pop(target, None)

    async def _together(self, targets: Sequence[Target], read: Read) -> Found:
        if not targets:
            return {}
        try:
            return await read(targets, True)
        except AnswerTooLarge:
            if len(targets) == 1:
                # Noted at once: there may be more of them than are found in the time that a read has.
                self._until[targets[0]] = self._clock() + AGAIN_SECONDS
                return await self._alone(targets[0], read)
        half = len(targets) // 2
        return await self._together(targets[:half], read) | await self._together(targets[half:], read)

    async def _alone(self, target: Target, read: Read) -> Found:
        if self._until[target] <= self._clock():
            del self._until[target]
            return await self._together([target], read)
        try:
            return await read([target], False)
        except AnswerTooLarge:
            return {target: _too_large()}


def _too_large() -> Fault:
    return Fault(
        TOO_LARGE,
        f"the ids of jobs, or what is told of ScheduledJobs, in the queue's keys are larger than "
        f"{shown_size(ANSWER_MAX_BYTES)} together: remove those jobs, or give spec.queue another name",
    )
