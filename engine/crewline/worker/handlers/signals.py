"""Signals of a process that a handler forks are its own, and no word to the worker.

It has a copy of the event loop's signal handlers, which do nothing by themselves, and of its wake-up descriptor, which
leads to the worker's loop: told to end, as `multiprocessing` does with each pool, it would go on, and stop the worker.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from asyncio import unix_events
from types import FrameType
from typing import Any

#: asyncio's own handler where a loop hears of a signal by the wake-up descriptor; uvloop's is a method of the loop.
_NOOP = getattr(unix_events, "_sighandler_noop", None)
_forking = threading.local()


def ignore(number: int, frame: FrameType | None) -> None:
    """Takes no notice of a signal, in this process and in no program or process that it makes."""


def hold() -> None:
    """Before a fork: what comes before the child has handlers of its own waits until it has."""
    _forking.mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())


def go_on() -> None:
    """After it, in both."""
    signal.pthread_sigmask(signal.SIG_SETMASK, _forking.mask)


def leave_to_parent(*, loops: bool) -> None:
    """In the child: what the parent takes no notice of ends this process, as it does any.

    Args:
        loops: also what an event loop of the parent's hears of.
    """
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if handler is ignore or (loops and _is_loops(handler)):
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if loops:
        signal.set_wakeup_fd(-1)
    if signal.SIGINT in signal.sigpending() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # nobody would hear of what is raised in a hook of the fork's
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _is_loops(handler: Any) -> bool:
    return (handler is not None and handler is _NOOP) or isinstance(
        getattr(handler, "__self__", None), asyncio.AbstractEventLoop
    )
