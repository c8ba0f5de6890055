"""The worker's process: its event loop, and an end that nothing which a handler leaves behind can hold up."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

from crewline.beside import ThreadRefused, start_thread
from crewline.wire.text import counted

log = logging.getLogger("crewline.worker")

#: Seconds that tasks which handlers have left get to end once they are cancelled, ...
TASKS_SECONDS = 1.0
#: ... and that exit hooks get, such as those that send the last spans and log lines.
HOOKS_SECONDS = 2.0


def run(work: Coroutine[Any, Any, None]) -> None:
    """Runs the worker to its end, whatever a task of a handler's does to the loop.

    A SystemExit or KeyboardInterrupt in a task that a handler made leaves the event loop by its door, and so does
    `loop.stop()`; it is that handler's failure, which awaits the task, and the loop goes on as if nothing had been.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    task = loop.create_task(work)
    try:
        while True:
            try:
                return loop.run_until_complete(task)
            except SystemExit as error:
                if task.done():
                    raise
                log.error("something that a handler started called sys.exit(%r): the worker goes on", error.code)
            except KeyboardInterrupt:
                # as long as it is the interpreter's to raise, it may be a person's
                if task.done() or signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                    raise
                log.error("something that a handler started raised KeyboardInterrupt: the worker goes on")
            except RuntimeError:
                if task.done():
                    raise
                log.error("something that a handler started stopped the event loop: the worker goes on")
    finally:
        _end_tasks(loop)


def leave(code: int) -> NoReturn:
    """Ends the process, with the exit hooks of its libraries.

    The interpreter's own end waits for every thread that is no daemon, for as long as it takes: one that a handler has
    left would keep a worker that does nothing any more.
    """
    try:
        hooks = start_thread(_run_hooks, name="crewline-exit")
    except ThreadRefused as error:
        # here, nothing would bound them
        log.warning("what the program does at its exit is left out: %s", error)
        _flush()
    else:
        hooks.join(HOOKS_SECONDS)
        if hooks.is_alive():
            log.warning("what the program does at its exit has not ended within %g s: it is cut off", HOOKS_SECONDS)
    os._exit(code)


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        with contextlib.suppress(SystemExit, KeyboardInterrupt, RuntimeError):
            _, left = loop.run_until_complete(asyncio.wait(tasks, timeout=TASKS_SECONDS))
            if left:
                some = counted(len(left), "task that handlers have started does", "tasks that handlers have started do")
                log.warning("%s not end when cancelled", some)


def _run_hooks() -> None:
    for step in (_flush, atexit._run_exitfuncs, _flush):
        with contextlib.suppress(Exception):
            step()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
