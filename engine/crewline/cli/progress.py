"""A line on a terminal, below what scrolls by, that says how a worker's work goes."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TextIO

from rich.cells import cell_len, set_cell_size

from crewline.wire.text import shown

#: Seconds between two looks.
LOOK_SECONDS = 0.5
#: Begins the line anew, and leaves nothing of it.
_CLEAR = "\r\x1b[K"


class ProgressLine:
    """The last line of a terminal; whatever else is printed goes above it.

    Args:
        terminal: where it is.
    """

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._text = ""
        self._whole = True
        self._process = os.getpid()
        # a handler's thread may print while the event loop does
        self._lock = threading.RLock()
        self._before = (sys.stdout, sys.stderr)
        sys.stdout, sys.stderr = (_Above(self, each) for each in self._before)

    def show(self, text: str) -> None:
        """Says something else."""
        with self._lock:
            text = shown(text)
            # the last column stays free: some terminals begin the next line once it is filled
            fitting = set_cell_size(text, min(cell_len(text), shutil.get_terminal_size().columns - 1))
            if fitting != self._text:
                self._text = fitting
                self._draw()

    def close(self) -> None:
        """Takes the line away."""
        with self._lock:
            self.show("")
            sys.stdout, sys.stderr = self._before

    def write_above(self, stream: TextIO, text: str) -> int:
        """What the program prints on a stream that may be the same terminal."""
        if os.getpid() != self._process or not stream.isatty():
            # a process that a handler has forked may have a copy of the lock that nobody gives back
            return stream.write(text)
        with self._lock:
            if self._whole:
                self._print(_CLEAR)
            written = stream.write(text)
            stream.flush()
            # what has no end yet is gone on with: the line must not come between
            self._whole = text.endswith("\n") if text else self._whole
            self._draw()
            return written

    def _draw(self) -> None:
        if self._whole:
            self._print(_CLEAR + self._text)

    def _print(self, text: str) -> None:
        self._terminal.write(text)
        self._terminal.flush()


class _Above:
    """A standard stream whose text goes above the line."""

    def __init__(self, line: ProgressLine, stream: TextIO) -> None:
        self._line = line
        self._stream = stream

    def write(self, text: str) -> int:
        return self._line.write_above(self._stream, text)

    def writelines(self, lines: Any) -> None:
        for each in lines:
            self.write(each)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


async def follow(worker: Any, line: ProgressLine) -> None:
    """Shows how a worker's work goes, until cancelled."""
    ended: Counter[str] = Counter()

    def count(event: str) -> Callable[..., None]:
        return lambda *_: ended.update((event,))

    for event in ("completed", "retrying", "failed"):
        worker.on(event, count(event))
    before, looked_at = 0, time.monotonic()
    try:
        while True:
            now, done = time.monotonic(), ended.total()
            rate = (done - before) / max(now - looked_at, LOOK_SECONDS)
            before, looked_at = done, now
            line.show(
                f"{worker.queue.name}: {worker.running} running, {ended['completed']:,} completed, "
                f"{ended['retrying']:,} tried again, {ended['failed']:,} failed, {rate:,.0f} jobs/s"
            )
            await asyncio.sleep(LOOK_SECONDS)
    finally:
        line.close()
