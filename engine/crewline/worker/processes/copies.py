"""Children that are copies of a process: the worker's end of it. See child/template.py for the other."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import select
import signal
import socket
from collections.abc import Callable

from crewline import forks
from crewline.worker.processes import standstill
from crewline.worker.processes.messages import CONTROL, ENDED, FORK, MADE, NOT_MADE


class Copy:
    """A child that a template makes, as far as a `Link` has to do with its process.

    Attributes:
        returncode: None while it runs; `NOT_MADE` also where its template has ended, and took it along.
        on_end: called when it has ended.
        told: set once its template has told that it runs, or that it has ended.
    """

    def __init__(self) -> None:
        self.returncode: int | None = None
        self.on_end: Callable[[], None] = lambda: None
        self.told = asyncio.Event()
        self._process: int | None = None
        self._killed = False

    @property
    def unmade(self) -> bool:
        """Whether it could not be made, or went with its template: what it ran has not told on itself."""
        return self.returncode == NOT_MADE

    async def settled(self) -> bool:
        """Whether it was made, or can't be, before long: a template that stands still tells nothing."""
        for _ in range(standstill.LOOKS):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.told.wait(), standstill.LOOK_SECONDS)
                return True
        return False

    def poll(self) -> int | None:
        if self.returncode is None and self._killed and self._process is not None:
            # its template may stand still, and tell nothing
            ends = select.poll()
            ends.register(self._process, select.POLLIN)
            return -signal.SIGKILL if ends.poll(0) else None
        return self.returncode

    def kill(self) -> None:
        """Ends it at once, or as soon as it is made."""
        self._killed = True
        if self._process is not None and self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)

    def made(self, process: int) -> None:
        """It runs; ``process`` is a descriptor of it, which is closed here."""
        self._process = process
        self.told.set()
        if self._killed:
            self.kill()

    def ended(self, code: int) -> None:
        self.returncode = code
        self.told.set()
        if self._process is not None:
            os.close(self._process)
            self._process = None
        self.on_end()


class Copies:
    """Has a template make children.

    Args:
        control: the worker's end of the socket between them; this owns it.
        kill: ends the template at once.
        on_close: called once no more are made.
    """

    def __init__(self, control: socket.socket, kill: Callable[[], None], on_close: Callable[[], None]) -> None:
        self._control = control
        self._kill = kill
        self._on_close = on_close
        self._numbers = itertools.count(1)
        self._living: dict[int, Copy] = {}
        self.open = True
        control.setblocking(False)
        forks.in_child(self, lambda copies: forks.sever([copies._control.fileno()]))
        asyncio.get_running_loop().add_reader(control, self._heard)

    def make(self, line: socket.socket, mark: int) -> Copy:
        """A copy that serves ``line``, and says by ``mark`` that it has begun; OSError if the template has ended."""
        if not self.open:
            raise OSError("the process that children are copied from has ended")
        number = next(self._numbers)
        socket.send_fds(self._control, [CONTROL.pack(FORK, number, 0)], [line.fileno(), mark])
        copy = self._living[number] = Copy()
        return copy

    def kill(self) -> None:
        """Ends the template and all that it has made at once: it stands still, and would take no notice otherwise."""
        self._kill()
        self.close()

    def close(self) -> None:
        """Lets the template end, and with it all that it has made."""
        if self.open:
            self.open = False
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            for number in list(self._living):
                self._living.pop(number).ended(NOT_MADE)
            self._on_close()

    def _heard(self) -> None:
        while self.open:
            try:
                message, passed, _, _ = socket.recv_fds(self._control, CONTROL.size, 1)
            except BlockingIOError:
                return
            except OSError:
                message, passed = b"", []
            if not message:
                self.close()
                return
            what, number, code = CONTROL.unpack(message)
            if what == ENDED and number in self._living:
                self._living.pop(number).ended(code)
            elif what == MADE and number in self._living and passed:
                self._living[number].made(passed.pop())
            for each in passed:
                os.close(each)
