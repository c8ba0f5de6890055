"""Handlers that fork. The child has a copy of the worker, which must not go on: it would run other jobs' handlers a
second time, and settle them.

A child may do what its handler does in it, for as long as it likes, and ends where it comes back: where the handler
returns, raises, or lets the event loop go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import threading
import weakref
from collections import deque

from crewline import forks
from crewline.worker.handlers import signals

#: What such a child ends with, unless it is told otherwise by sys.exit().
EXIT_CODE = 1

_guarded: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()
_forking = threading.local()


def end_copy(depth: int, error: BaseException | None = None) -> None:
    """Ends this process at once if it is a child that was forked since `forks.depth` was this: it has come back.

    Args:
        error: what the handler has raised in it.
    """
    if forks.depth != depth:
        code = error.code if isinstance(error, SystemExit) else EXIT_CODE
        os._exit(code if isinstance(code, int) else 0 if code is None else EXIT_CODE)


def guard_loop() -> None:
    """A child that is forked by what the running loop runs ends with that step of the loop."""
    _guarded.add(asyncio.get_running_loop())


def _before() -> None:
    signals.hold()
    # here, since a child has no running loop
    try:
        _forking.loop = asyncio.get_running_loop()
    except RuntimeError:
        _forking.loop = None


def _begin() -> None:
    try:
        with contextlib.suppress(ValueError):  # an interpreter within this one has no signals
            signals.leave_to_parent(loops=bool(_guarded))
    finally:
        signals.go_on()
    loop: asyncio.AbstractEventLoop | None = getattr(_forking, "loop", None)
    if loop is not None and loop in _guarded:
        end = loop.call_soon(os._exit, EXIT_CODE)
        for ready in gc.get_referents(loop):
            # what asyncio's and uvloop's loops go through: steps of other tasks are before this one
            if isinstance(ready, deque) and end in ready:
                ready.extendleft([end] * len(ready))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=signals.go_on, after_in_child=_begin)
