"""Handlers that tests run in child processes: those must be importable by name."""

from __future__ import annotations

import os
import time
from typing import Any

from crewline import Reject, Retry


def work(job: Any) -> Any:
    match job.data.get("do"):
        case "pid":
            job.progress({"half": True})
            job.log("from a child")
            return os.getpid()
        case "spin":
            while True:  # holds the interpreter: only a kill ends it
                pass
        case "die":
            os._exit(7)
        case "reject":
            raise Reject("not this one")
        case "retry":
            if job.attempts_made == 0:
                raise Retry("again", delay=0.05)
            return "second time"
        case "raise":
            raise ValueError("in a child")
        case "sleep":
            time.sleep(60)
    return job.data
