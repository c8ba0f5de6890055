"""A worker from its start until a signal has ended it, and the file that says that it is ready."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from crewline.cli.health import Health
from crewline.errors import InvalidOption
from crewline.redis.connection import end_tasks

if TYPE_CHECKING:
    from crewline.cli.progress import ProgressLine

log = logging.getLogger("crewline.worker")


async def serve(worker: object, ready_file: Path | None, health: Health | None, line: ProgressLine | None) -> None:
    from crewline.worker import Worker

    assert isinstance(worker, Worker)
    if health is not None:
        health.trouble = worker.trouble
    loop = asyncio.get_running_loop()

    def told_to_stop(name: str) -> None:
        log.info("%s: draining", name)
        stopping.append(asyncio.ensure_future(worker.stop()))
        _mark_ready(ready_file, False)
        for other in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(other)
            signal.signal(other, signal.SIG_DFL)

    stopping: list[asyncio.Future[None]] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop, number.name)
    running = asyncio.ensure_future(worker.run())
    ready = asyncio.ensure_future(worker.wait_ready())
    await asyncio.wait({running, ready}, return_when=asyncio.FIRST_COMPLETED)
    if ready.done() and not ready.exception():
        log.info("ready: queue %s as %s", worker.queue.name, worker.name)
        _mark_ready(ready_file)
        if health is not None:
            health.ready.set()
    else:
        ready.cancel()
    await (running if line is None else _followed(running, worker, line))


async def _followed(running: asyncio.Future[None], worker: object, line: ProgressLine) -> None:
    # a worker that nobody looks at needs none of it
    from crewline.cli.progress import follow

    following = asyncio.create_task(follow(worker, line))
    try:
        await running
    finally:
        await end_tasks(following)


def check_ready_file(ready_file: Path | None) -> None:
    """Takes away one that an earlier worker left; where none can be made, that is wrong usage, before any job runs."""
    if ready_file is None:
        return
    try:
        ready_file.unlink(missing_ok=True)
        if not os.access(ready_file.parent, os.W_OK):
            raise FileNotFoundError(f"no folder {str(ready_file.parent)!r} that can be written to")
    except OSError as error:
        raise InvalidOption(f"--ready-file {str(ready_file)!r} can't be made: {error}") from None


def _mark_ready(ready_file: Path | None, ready: bool = True) -> None:
    if ready_file is None:
        return
    try:
        ready_file.touch() if ready else ready_file.unlink(missing_ok=True)
    except OSError as error:
        # nothing that the worker does depends on it
        log.error("the ready file can't be %s: %s", "made" if ready else "taken away", error)
