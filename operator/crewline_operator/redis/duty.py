"""Keeps up what is meant never to end: a task that nobody waits for would else be gone without a word."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from crewline.redis.connection import cancelled

log = logging.getLogger(__name__)

#: Until one that has ended begins again.
AGAIN_SECONDS = 0.5


async def kept_up(name: str, duty: Callable[[], Awaitable[None]]) -> None:
    """Run `duty`, and run it again whenever it ends, however it does, until cancelled."""
    while True:
        try:
            await duty()
        except (Exception, asyncio.CancelledError):
            if cancelled():
                raise
            log.exception("%s has failed, which nobody foresaw: it begins again", name)
        else:
            if cancelled():
                return
            log.error("%s has ended, which it never should: it begins again", name)
        await asyncio.sleep(AGAIN_SECONDS)
