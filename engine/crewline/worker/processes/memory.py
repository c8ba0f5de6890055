"""Whether a child was killed for want of memory: nobody else can tell.

Kubernetes says nothing of a process in a container as long as its first one lives. The kernel counts in the container's
cgroup; it does so before it kills, so that who sees the end of a process sees the count, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

#: Where a container sees its own cgroup: version 2, and 1.
FILES = (Path("/sys/fs/cgroup/memory.events"), Path("/sys/fs/cgroup/memory/memory.oom_control"))


class Memory:
    """Tells which of one worker's children died for want of memory. Each that was counted is one death."""

    def __init__(self, files: Iterable[Path] = FILES) -> None:
        self._files = tuple(files)
        #: So many are known whose they were.
        self._told = 0

    def kills(self) -> int:
        """How many processes were killed so far; 0 where that is not told."""
        for file in self._files:
            try:
                return counted(file.read_text())
            except OSError:
                continue
        return 0

    def was_the_cause(self, before: int) -> bool:
        """Whether one more was killed than ``before``, which was counted when the process that has died was well."""
        known = max(before, self._told)
        if self.kills() <= known:
            return False
        self._told = known + 1
        return True


def counted(text: str) -> int:
    """The count in one of `FILES`; 0 if it has none: a kernel before 4.13."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.strip().isdigit():
            return int(value)
    return 0
