"""Supervision: what a worker does for as long as it lives goes on, or the worker ends and says why.

A duty that ended in silence would leave a worker that looks alive: its heartbeat goes on, and it does nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from crewline.errors import CrewlineError
from crewline.redis.connection import UNAVAILABLE, cancelled

log = logging.getLogger("crewline.worker")

#: A duty that ended unexpectedly so often within so many seconds takes the worker with it.
MOST_FAILURES, WITHIN_SECONDS = 5, 300.0
#: Seconds before a duty begins again.
PAUSE_SECONDS = 0.5


class DutyFailed(CrewlineError):
    """A duty of a worker ended again and again for a reason that nobody foresaw; the cause is the last one."""


async def supervised(name: str, duty: Callable[[], Awaitable[None]]) -> None:
    """Runs a duty that is meant never to end; begins it again if it does. Until cancelled.

    Raises:
        DutyFailed: it ended too often.
    """
    clock = asyncio.get_running_loop().time
    failures: deque[float] = deque(maxlen=MOST_FAILURES)
    while True:
        cause: Exception | None = None
        try:
            await duty()
            if cancelled():
                return
            log.error("the worker's duty %r ended, which it never should: it begins again", name)
        except UNAVAILABLE as error:
            # each duty deals with an outage itself: that this one did not is no reason to end
            log.warning("the worker's duty %r: %s: %s; it begins again", name, type(error).__name__, error)
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        except Exception as error:
            cause = error
            log.exception("the worker's duty %r failed unexpectedly: it begins again", name)
        failures.append(clock())
        if len(failures) == MOST_FAILURES and failures[-1] - failures[0] < WITHIN_SECONDS:
            raise DutyFailed(f"the worker's duty {name!r} failed {MOST_FAILURES} times, last with {cause!r}") from cause
        await asyncio.sleep(PAUSE_SECONDS)
