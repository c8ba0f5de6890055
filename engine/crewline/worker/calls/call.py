"""One finish_and_fetch, from the decision to its answer, however often it has to be sent."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from redis.exceptions import AuthenticationError, BusyLoadingError, ResponseError

from crewline.redis.scripts import Result
from crewline.worker.runs.run import Run

#: Seconds between two attempts of a worker that stops.
HURRIED_SECONDS = 0.2

#: Errors of Redis' own: the call was not carried out.
REFUSALS = (ResponseError, BusyLoadingError, AuthenticationError)


@dataclass(slots=True, eq=False)
class Call:
    """A call.

    It keeps what it carries and the slots that it was promised until it is answered: Redis may have carried it out
    although its answer was lost, and only a repeat with the same token and the same results tells.

    Attributes:
        token: fences the jobs that it fetches.
        room: slots that are reserved for it.
        suspects: how many of the jobs that it fetches may be suspects.
        wakes: how often something had become runnable when it left.
        carried: the runs whose results it carries.
        fills: it only fetches, although results wait.
        failures: how often it was sent in vain.
        unknown: Redis may have carried it out.
        left: when it was sent last, by the loop's clock.
    """

    token: str
    room: int
    suspects: int
    wakes: int
    carried: list[tuple[Run, Result]] = field(default_factory=list)
    fills: bool = False
    failures: int = 0
    unknown: bool = False
    left: float = 0.0

    @property
    def results(self) -> list[Result]:
        return [result for _, result in self.carried]

    @property
    def pending(self) -> bool:
        """Whether a worker that stops has to wait for it: it is on its way, may have fetched, or carries results."""
        return not self.failures or self.unknown or bool(self.carried)

    def failed(self, error: BaseException) -> None:
        self.failures += 1
        self.unknown = self.unknown or not isinstance(error, REFUSALS)
        for run, _ in self.carried:
            # whatever call its result goes with from now on
            run.unknown = run.unknown or self.unknown

    def pause_seconds(self) -> float:
        """How long to wait before it is sent again."""
        return min(0.1 * 2.0 ** min(self.failures, 6), 5.0) * random.uniform(0.5, 1.0)
