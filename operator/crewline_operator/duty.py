"""Keeps up what is meant never to end: each task that nobody waits for is run by this, and by nothing else.

It would else be gone without a word: by an error that nobody foresaw, or by a CancelledError that was meant for
another one and that a library let through, which asyncio takes for an orderly end. So that is told, with where it came
from, and the task begins again, after longer and longer if that helps nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from crewline.redis.connection import cancelled

log = logging.getLogger(__name__)

#: Until one that has ended begins again; twice as long if it ends again soon, up to the cap.
AGAIN_SECONDS = 0.5
AGAIN_CAP_SECONDS = 30.0
#: One that went on for so long had no trouble in beginning.
WELL_SECONDS = 60.0


async def kept_up(name: str, duty: Callable[[], Awaitable[None]], ends_by: tuple[type[Exception], ...] = ()) -> None:
    """Run `duty`, and run it again whenever it ends, however it does, until cancelled; raises those of `ends_by`."""
    ends = 0
    while True:
        began = time.monotonic()
        try:
            await duty()
        except ends_by:
            raise
        except (Exception, asyncio.CancelledError):
            if cancelled():
                raise
            log.exception("%s has failed, which nobody foresaw: it begins again", name)
        else:
            if cancelled():
                return
            log.error("%s has ended, which it never should: it begins again", name)
        ends = 0 if time.monotonic() - began >= WELL_SECONDS else min(ends + 1, 30)
        await asyncio.sleep(min(AGAIN_CAP_SECONDS, AGAIN_SECONDS * 2.0 ** max(ends - 1, 0)))
