"""A child does not outlive who made it, and ends when that one says so: by no signal to the whole group."""

from __future__ import annotations

import os
import signal
import sys
import time

from crewline.beside import start_thread
from crewline.worker.handlers.signals import ignore
from crewline.worker.processes.messages import WORKERS_SIGNALS

#: Linux' prctl: the signal that comes when the thread that made this process ends.
PR_SET_PDEATHSIG = 1
#: Seconds between two looks whether the worker is there, where the system does not tell of its end.
LOOK_SECONDS = 1.0


def end_with(worker: int) -> None:
    """Sees to it that this process ends when the worker does, also by SIGKILL and in the middle of a call into C."""
    told = False
    if sys.platform == "linux":
        try:
            import ctypes

            told = ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
        except (ImportError, OSError, AttributeError):
            pass
    if not told:
        start_thread(_watch, worker, name="crewline-watch")
    if os.getppid() != worker:
        # it ended before this process could ask to be told
        os._exit(1)


def ignore_workers_signals() -> None:
    """Takes no notice of what tells the worker to stop."""
    for number in WORKERS_SIGNALS:
        # not SIG_IGN: programs that a handler starts would inherit it, and could not be told to end
        signal.signal(number, ignore)


def _watch(worker: int) -> None:
    while os.getppid() == worker:
        time.sleep(LOOK_SECONDS)
    os._exit(1)
