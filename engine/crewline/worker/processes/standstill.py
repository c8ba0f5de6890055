"""Children that stand still where they should not, stopped by a signal, say. Nothing else tells of one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("crewline.worker")

#: Looks in a row that find it so before a child is killed, and seconds between two of them. They are counted, and no
#: time is measured: where the worker's own loop was held up, what a child has said is read between two.
LOOKS, LOOK_SECONDS = 15, 1.0


class StandstillWatch:
    """Looks at a child for as long as its worker waits for it.

    Args:
        stands_still: whether it does.
        give_up: called once it did for too long.
    """

    def __init__(self, stands_still: Callable[[], bool], give_up: Callable[[], None]) -> None:
        self._stands_still = stands_still
        self._give_up = give_up
        self._looks = 0
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        self._looks = self._looks + 1 if self._stands_still() else 0
        if self._looks < LOOKS:
            self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        else:
            log.error("a handler's process stands still: it is killed")
            self._give_up()


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped a process, as far as the system tells."""
    with contextlib.suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] == "T"
    return False
