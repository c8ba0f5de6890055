"""What Redis refuses is said once a state: a duty that goes on trying must neither be silent nor fill the log."""

from __future__ import annotations

import logging
import time

from redis.exceptions import ResponseError

log = logging.getLogger("crewline.worker")

#: Seconds after which the same is said again, of what goes on with each job.
AGAIN_SECONDS = 60.0


class Complaints:
    """What is refused now, of one queue. A Redis that is away is the committer's to tell of."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._told: dict[str, str] = {}
        self._beside: dict[str, float] = {}

    def tell(self, what: str, error: BaseException) -> None:
        """``what`` (to do) failed; said where Redis answered with an error that was not told yet."""
        if isinstance(error, ResponseError) and self._told.get(what) != str(error):
            self._told[what] = str(error)
            log.error("queue %s: can't %s: Redis says %s; trying again", self._queue, what, error)

    def beside(self, refused: list[str]) -> None:
        """What was to be done beside the end of jobs was refused; said once a minute for each reason."""
        for each in refused:
            about, _, why = each.partition(": ")
            now = time.monotonic()
            if now - self._beside.get(why, float("-inf")) >= AGAIN_SECONDS:
                self._beside[why] = now
                log.error(
                    "queue %s: jobs have ended, but Redis refused what else that means to %s (a parent that waits for "
                    "a child, a job that was kept until another ends, a fetch of more): %s", self._queue, about, why,
                )  # fmt: skip

    def over(self, what: str) -> None:
        """It works."""
        if self._told.pop(what, None) is not None:
            log.info("queue %s: can %s again", self._queue, what)
