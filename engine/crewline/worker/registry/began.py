"""When a worker's process began.

Told by the clock of its machine, as the end of a container is: so whoever sees a container end knows which of its pod's
workers were in it, and which are in the one that was started in its place.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

#: This process' state in Linux.
STAT = Path("/proc/self/stat")
#: Of the fields after the name, which may have blanks in it: clock ticks from the machine's start to the process'.
STARTED_FIELD = 19


def process_began() -> float:
    """Epoch seconds; never too early, which would make it one of those that have ended before."""
    now = time.time()
    try:
        ticks = int(STAT.read_text().rpartition(")")[2].split()[STARTED_FIELD])
        # a tick more, since it was rounded down
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - (ticks + 1) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        # not on Linux: it began before this moment
        age = 0.0
    return round(now - max(age, 0.0), 3)
