"""Handlers that lean on what their program has set up before its worker began."""

from __future__ import annotations

import os
from typing import Any

#: What the program sets up: a child has none.
pool: list[int] | None = None


async def lean(job: Any) -> int:
    if job.data.get("die with") == os.getpid():
        os._exit(7)
    assert pool is not None, "there is no pool"
    return os.getpid()


def lean_in_a_thread(job: Any) -> int:
    assert pool is not None, "there is no pool"
    return os.getpid()
