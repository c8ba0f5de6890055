"""Threads beside whatever else a process does, and event loops in them: the one way in which each of them is started.

The system may have no thread to give for a moment, as where a pod is at its limit of processes. So what is returned
here runs: a loop that others knew before would have them wait for calls that nobody carries out.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from crewline.errors import CrewlineError


class ThreadRefused(CrewlineError, RuntimeError):
    """The system has no thread to give now."""


def start_thread(target: Callable[..., Any], *arguments: Any, name: str) -> threading.Thread:
    """A daemon thread that runs ``target``: the interpreter's end waits for none.

    Raises:
        ThreadRefused: there is none to be had now; nothing was begun.
    """
    thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise ThreadRefused(f"a thread could not be started: {error}") from error
    return thread


def start_loop(name: str, run: Callable[[asyncio.AbstractEventLoop], Any]) -> asyncio.AbstractEventLoop:
    """An event loop that runs in such a thread.

    Args:
        name: the thread's.
        run: what the thread does with it.

    Raises:
        ThreadRefused: as `start_thread`.
        OSError: the system has no descriptor for it.
    """
    loop = asyncio.new_event_loop()
    try:
        start_thread(run, loop, name=name)
    except ThreadRefused:
        loop.close()
        raise
    return loop
