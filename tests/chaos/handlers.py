"""What the workers under test run: each run leaves lines in a ledger that no Redis can lose or repeat.

A line is one ``os.write`` to a file opened with O_APPEND, so that many processes share it and a killed one leaves
whole lines only. Times are CLOCK_MONOTONIC, which all processes of a machine share and no skewed wall clock touches.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from pathlib import Path
from typing import Any

_ledger = os.open(os.environ["CHAOS_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
#: The C library, called with the interpreter lock held (a CDLL would let go of it).
_c = ctypes.PyDLL(None)


def _note(job: Any, what: str) -> None:
    os.write(_ledger, f"{job.id} {job.attempts_started} {os.getpid()} {what} {time.monotonic():.6f}\n".encode())


async def _let_go(gate: Path) -> None:
    """Returns once that file is there: what all workers and the driver see without Redis."""
    while not gate.exists():  # noqa: ASYNC110, ASYNC240
        await asyncio.sleep(0.02)


async def handle(job: Any) -> dict[str, int]:
    """Begins, takes as long as the job says in the way it says, and ends."""
    _note(job, "begin")
    data = job.data
    # only the first run misbehaves, so that the job can be seen to end after all; a poison job always does
    if job.attempts_started == 1:
        if seconds := data.get("block_seconds"):
            time.sleep(seconds)  # noqa: ASYNC251
        if seconds := data.get("gil_seconds"):
            _c.usleep(int(seconds * 1_000_000))
    if data.get("poison"):
        os._exit(137)
    try:
        if gate := data.get("hold"):
            await _let_go(Path(gate))
        await asyncio.sleep(data["seconds"])
    except asyncio.CancelledError:
        _note(job, "stopped")
        raise
    _note(job, "end")
    return {"pid": os.getpid(), "run": job.attempts_started}
