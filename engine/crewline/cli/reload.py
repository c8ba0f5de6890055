"""``crewline worker --reload``: a worker for development, made anew whenever its source changes.

The worker is a process of its own, run by the same command line, so that a change finds no module of the old code in
memory. What watches it imports nothing of the handler's: a file that can't be imported ends the worker alone, and the
next change tries again.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.machinery
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from crewline.cli.usage import EXIT_USAGE, fail

#: Seconds that running jobs may go on before a restart, unless the command line or the environment says otherwise.
GRACE_SECONDS = 2.0
#: Seconds beyond the grace period after which a worker that does not end is killed.
KILL_SECONDS = 5.0


def reload_worker(handler: str, code_path: str | None, grace_seconds: float) -> int:
    """Runs the worker of this command line until SIGINT or SIGTERM, and anew after each change; returns 0."""
    try:
        import watchfiles  # noqa: F401
    except ImportError:
        fail("--reload needs the package watchfiles: pip install 'crewline[reload]'", EXIT_USAGE)
    folders = source_folders(handler.partition(":")[0], code_path)
    command = [sys.executable, *(argument for argument in sys.orig_argv[1:] if argument != "--reload")]
    environment = {
        "CREWLINE_GRACE_SECONDS": str(GRACE_SECONDS),
        **os.environ,
        # bytecode is told from its source by size and second: a quick edit would go unseen
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    asyncio.run(_supervise(command, environment, folders, grace_seconds + KILL_SECONDS))
    return 0


def source_folders(module: str, code_path: str | None) -> list[Path]:
    """The folders of a handler's source: its top package's, or that which its module lies in. Imports nothing."""
    first = str(Path(code_path or ".").resolve())
    spec = importlib.machinery.PathFinder.find_spec(module.partition(".")[0], [first, *sys.path])
    if spec is not None and spec.submodule_search_locations:
        return [Path(place) for place in spec.submodule_search_locations]
    if spec is not None and spec.origin:
        return [Path(spec.origin).parent]
    return [Path(first)]


async def _supervise(command: list[str], environment: Mapping[str, str], folders: list[Path], patience: float) -> None:
    changes: asyncio.Queue[list[str]] = asyncio.Queue()
    told = asyncio.Event()
    signals: list[signal.Signals] = []

    def on_signal(number: signal.Signals) -> None:
        signals.append(number)
        told.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal, number)
    watching = asyncio.create_task(_watch(folders, changes))
    stopped = asyncio.create_task(told.wait())
    _say(f"watching {', '.join(map(str, folders))}; Ctrl-C ends")
    try:
        while not told.is_set():
            process = await asyncio.create_subprocess_exec(*command, env=environment)
            ended = asyncio.create_task(process.wait())
            changed = asyncio.create_task(changes.get())
            await asyncio.wait({ended, changed, stopped, watching}, return_when=asyncio.FIRST_COMPLETED)
            if process.returncode is not None and not told.is_set():
                _say(f"the worker ended with {process.returncode}: it starts again at the next change")
                await asyncio.wait({changed, stopped, watching}, return_when=asyncio.FIRST_COMPLETED)
            if told.is_set() and signals[0] is signal.SIGINT and _in_foreground():
                # Ctrl-C went to the worker as well, and a second signal would end it at once
                await asyncio.wait({ended}, timeout=patience)
            elif changed.done():
                _say(f"{', '.join(changed.result())} changed: the worker starts again")
            await _end(process, patience)
            changed.cancel()
            if watching.done():
                watching.result()
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching


async def _watch(folders: list[Path], changes: asyncio.Queue[list[str]]) -> None:
    from watchfiles import PythonFilter, awatch

    async for found in awatch(*folders, watch_filter=PythonFilter(), debounce=300):
        await changes.put(sorted({Path(path).name for _, path in found}))


async def _end(process: asyncio.subprocess.Process, patience: float) -> None:
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), patience)
    except TimeoutError:
        _say(f"the worker did not end within {patience:g} s: it is killed")
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _in_foreground() -> bool:
    """Whether a terminal's Ctrl-C goes to this process and those it started."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


def _say(message: str) -> None:
    print(f"crewline: reload: {message}", file=sys.stderr, flush=True)
