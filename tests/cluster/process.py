"""Processes that outlive the command that starts them, and the proof that a pid still means the same process."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.01


@dataclass(frozen=True)
class Identity:
    """A process as it can be found again later: a pid alone may be somebody else's by then."""

    pid: int
    #: Clock ticks between the machine's start and the process's: field 22 of /proc/<pid>/stat.
    started_ticks: int

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """The identity of a running process; None for one that ended (a zombie has ended)."""
        try:
            # The command name in field 2 may itself hold spaces and brackets.
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        if fields[0] not in "ZX":
            return cls(pid, int(fields[19]))
        # A child of this very process stays in the table, and in its cgroup, until it is waited for.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return None

    def alive(self) -> bool:
        return Identity.of(self.pid) == self

    def kill(self) -> None:
        """End it without a word; returns when it has let go of all that it held. No error if it has ended."""
        while self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            time.sleep(_POLL_SECONDS)


def start(argv: Sequence[str | Path], *, log: Path, cgroup: Path) -> Identity:
    """Start a command in a session and a cgroup of its own, its output in a log file."""
    # The shell joins the cgroup before it becomes the command: nothing the command starts can be outside.
    join = 'echo $$ >"$0/cgroup.procs" && exec "$@"'
    with log.open("a") as output:
        process = subprocess.Popen(
            ["sh", "-c", join, str(cgroup), *(str(word) for word in argv)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            close_fds=True,
            env={name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")},
        )
    # Not waited for: it is to go on after this command, whose end hands it to init.
    process.returncode = 0
    return Identity.of(process.pid) or Identity(process.pid, -1)
