"""One builder at a time: a second process that wants the same thing waits for the first and then finds it done."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import progress


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file for the block; the kernel drops it when the process dies, so none is ever stale."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"waiting for another process that is busy with {what}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
