"""A process that children are copied from, from the inside: it has imported the handler's module and runs no job.

A copy is there in some milliseconds, where a new interpreter that imports the module takes half a second of processor
time and more, and shares the memory of what was imported. So all jobs that a dead worker held can be tried at once.

Copied is only what a copy can't disturb: a module whose import has left a thread running (which a copy lacks, with
whatever lock it holds) or anything open (a connection, a file's place: all copies would use it at once) is imported
anew by each child. What a module has to do at its process' end is the template's to do, once, and no copy's.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from pathlib import Path

from crewline.worker.processes.child.parent import ignore_workers_signals
from crewline.worker.processes.messages import CONTROL, ENDED, MADE, NOT_MADE, WORKERS_SIGNALS


def held_now() -> set[tuple[str, str]]:
    """What this process holds open, and the memory that it shares; empty where the system does not tell."""
    held: set[tuple[str, str]] = set()
    with contextlib.suppress(OSError):
        for each in Path("/proc/self/fd").iterdir():
            # but for the one of this very look
            with contextlib.suppress(OSError):
                held.add((each.name, str(each.readlink())))
        for line in Path("/proc/self/maps").read_text(errors="replace").splitlines():
            where, kind, *_ = line.split(maxsplit=2)
            if "w" in kind and kind.endswith("s"):
                held.add((where, kind))
    return held


def can_be_copied(before: set[tuple[str, str]]) -> bool:
    """Whether this process holds nothing that copies would share beyond what it held ``before``."""
    if not before or not hasattr(os, "pidfd_open"):
        return False  # no Linux: the parts that end a copy with its worker are missing, too
    try:
        if len(list(Path("/proc/self/task").iterdir())) > 1:
            return False
    except OSError:
        return False
    return held_now() <= before


class Template:
    """Makes copies of this process, kills them, and tells how they ended.

    Args:
        control: a socket of messages to the worker; one that asks for a copy brings the copy's line and its mark.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        #: by the descriptor that tells of their end: which, and its process id
        self._living: dict[int, tuple[int, int]] = {}

    def serve(self) -> tuple[socket.socket, int] | None:
        """Works until the worker hangs up; returns in each copy, with its line and the descriptor of its mark, and here
        at the end, with None."""
        # what is there now is kept by all: a collection would write to it, and so copy it into each
        gc.collect()
        gc.freeze()
        # the module may have one of its own, which would take their ends
        handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor in self._living:
                    poll.unregister(descriptor)
                    self._reap(descriptor)
                    continue
                data, passed, _, _ = socket.recv_fds(self._control, CONTROL.size, 2)
                if not data:
                    return None
                _, number, _ = CONTROL.unpack(data)
                for each in passed:
                    os.set_inheritable(each, False)
                watch = self._fork(number)
                if watch is None:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL if handler is None else handler)
                    return socket.socket(fileno=passed[0]), passed[1]
                for each in passed:
                    os.close(each)
                if watch >= 0:
                    poll.register(watch, select.POLLIN)

    def _fork(self, number: int) -> int | None:
        """Makes a copy; returns what tells of its end, -1 if there is none, and None in the copy."""
        for stream in (sys.stdout, sys.stderr):
            # what is in a buffer would be written by each
            with contextlib.suppress(AttributeError, OSError, ValueError):
                stream.flush()
        # one to the whole group is no copy's end either: each waits until the copy takes no notice of it
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, WORKERS_SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                ignore_workers_signals()
        except OSError:
            self._control.send(CONTROL.pack(ENDED, number, NOT_MADE))
            return -1
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if pid == 0:
            self._control.close()
            for descriptor in self._living:
                os.close(descriptor)
            return None
        watch = os.pidfd_open(pid)
        self._living[watch] = number, pid
        socket.send_fds(self._control, [CONTROL.pack(MADE, number, 0)], [watch])
        return watch

    def _reap(self, descriptor: int) -> None:
        number, pid = self._living.pop(descriptor)
        os.close(descriptor)
        try:
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:
            # somebody else has: it has ended, and nobody knows how
            code = NOT_MADE
        self._control.send(CONTROL.pack(ENDED, number, code))
