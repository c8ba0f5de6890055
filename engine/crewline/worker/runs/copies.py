"""Children that are copies of a process: the worker's end of it. See template.py for the other."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable

from crewline.worker.runs.template import ENDED, FORK, KILL, MESSAGE, NOT_MADE


class Copy:
    """A child that a template makes, as far as a `Link` has to do with its process.

    Attributes:
        returncode: None while it runs; `NOT_MADE` also where its template has ended, and took it along.
        on_end: called when it has ended.
    """

    def __init__(self, copies: Copies, number: int) -> None:
        self._copies = copies
        self._number = number
        self.returncode: int | None = None
        self.on_end: Callable[[], None] = lambda: None

    @property
    def unmade(self) -> bool:
        """Whether it could not be made, or went with its template: what it ran has not told on itself."""
        return self.returncode == NOT_MADE

    def poll(self) -> int | None:
        return self.returncode

    def kill(self) -> None:
        if self.returncode is None:
            self._copies.tell(KILL, self._number)


class Copies:
    """Has a template make children.

    Args:
        control: the worker's end of the socket between them; this owns it.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._numbers = itertools.count(1)
        self._living: dict[int, Copy] = {}
        self.open = True
        control.setblocking(False)
        asyncio.get_running_loop().add_reader(control, self._heard)

    def make(self, line: socket.socket, mark: int) -> Copy:
        """A copy that serves ``line``, and says by ``mark`` that it has begun; OSError if the template has ended."""
        if not self.open:
            raise OSError("the process that children are copied from has ended")
        number = next(self._numbers)
        socket.send_fds(self._control, [MESSAGE.pack(FORK, number, 0)], [line.fileno(), mark])
        copy = self._living[number] = Copy(self, number)
        return copy

    def tell(self, what: bytes, number: int) -> None:
        try:
            self._control.send(MESSAGE.pack(what, number, 0))
        except OSError:
            # it has ended, and they with it; or it stands still with more to do than it can take
            self.close()

    def close(self) -> None:
        """Lets the template end, and with it all that it has made."""
        if self.open:
            self.open = False
            asyncio.get_running_loop().remove_reader(self._control)
            self._control.close()
            for number in list(self._living):
                self._ended(number, NOT_MADE)

    def _heard(self) -> None:
        while self.open:
            try:
                message = self._control.recv(MESSAGE.size)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                self.close()
                return
            what, number, code = MESSAGE.unpack(message)
            if what == ENDED:
                self._ended(number, code)

    def _ended(self, number: int, code: int) -> None:
        copy = self._living.pop(number, None)
        if copy is not None:
            copy.returncode = code
            copy.on_end()
