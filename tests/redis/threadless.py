"""A handler for child processes in which no thread for a job's calls is to be had, as long as a file is there."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

#: In the environment: the path of that file.
FILE = "CREWLINE_TEST_THREADLESS"


def work(job: Any) -> int:
    job.progress(1)
    return os.getpid()


if "crewline.worker.processes.child.main" in sys.modules:
    _start = threading.Thread.start

    def _refuse(thread: threading.Thread) -> None:
        if thread.name == "crewline-calls" and Path(os.environ[FILE]).exists():
            raise RuntimeError("can't start new thread")
        _start(thread)

    threading.Thread.start = _refuse  # type: ignore[method-assign]
