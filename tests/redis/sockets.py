"""What this process is connected to."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path


def connections() -> int:
    """How many connections to servers this process has a part in."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(each.name))) as copy:
            # a pair of sockets has no address
            found += bool(copy.getpeername())
    return found
