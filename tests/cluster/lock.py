"""One builder at a time: a second process that wants the same thing waits for the first and then finds it done."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
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


@contextmanager
def shared(path: Path) -> Iterator[Callable[[], bool]]:
    """Be one of the users of something for the block; what is yielded says whether there is no other one, and lets none
    in from then on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)

        def alone() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # A failed conversion of a lock loses the lock there was.
                fcntl.flock(file, fcntl.LOCK_SH)
                return False
            return True

        yield alone
