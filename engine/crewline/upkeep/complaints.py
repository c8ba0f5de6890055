"""What Redis refuses is said once a state: a duty that goes on trying must neither be silent nor fill the log."""

from __future__ import annotations

import logging

from redis.exceptions import ResponseError

log = logging.getLogger("crewline.worker")


class Complaints:
    """What is refused now, of one queue. A Redis that is away is the committer's to tell of."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._told: dict[str, str] = {}

    def tell(self, what: str, error: BaseException) -> None:
        """``what`` (to do) failed; said where Redis answered with an error that was not told yet."""
        if isinstance(error, ResponseError) and self._told.get(what) != str(error):
            self._told[what] = str(error)
            log.error("queue %s: can't %s: Redis says %s; trying again", self._queue, what, error)

    def over(self, what: str) -> None:
        """It works."""
        if self._told.pop(what, None) is not None:
            log.info("queue %s: can %s again", self._queue, what)
