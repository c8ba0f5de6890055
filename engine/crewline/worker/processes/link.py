"""The worker's end of one child process: the process, and the line to it.

A line carries one exchange at a time. Whatever comes on it that nobody waits for ends the child.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any, cast

from crewline import forks
from crewline.beside import ThreadRefused
from crewline.worker.processes.copies import Copies, Copy
from crewline.worker.processes.messages import HEADER, MARK_SIZE, WORKERS_SIGNALS, Answer, Hello, framed
from crewline.worker.processes.standstill import StandstillWatch, is_stopped
from crewline.worker.threads.pool import Pool

#: What a child's interpreter runs; arguments: the descriptors of the line, of the mark and of a template's control, the
#: worker's process id, the worker's sys.path.
BOOT = (
    "import sys; sys.path[:] = sys.argv[3:]; from crewline.worker.processes.child.main import main; "
    "main([int(each) for each in sys.argv[1].split(',')], int(sys.argv[2]))"
)
#: Seconds after a child's end in which what it sent last is still read; a program that it forked may hold the line.
LAST_WORDS_SECONDS = 1.0


class Hangup(ConnectionError):
    """The line ended before the answer came."""


class Link(asyncio.Protocol):
    """One child and the line to it.

    Attributes:
        process: None until it was started.
        dead: the line has ended: there will be no answer on it.
        killed: the worker has ended the child.
        oom_kills: how many processes had been killed for want of memory when its last exchange began.
    """

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | Copy | None = None
        self.dead = False
        self.killed = False
        self.oom_kills = 0
        # in memory that both share: a message for each job would cost both sides more than the job's own
        self._mark: mmap.mmap | None = None
        self._begun = False
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._waiting: asyncio.Future[Answer] | None = None
        self._exit_watch: int | None = None
        # another child that held the worker's end would hold it open
        forks.in_child(self, lambda link: forks.sever(forks.descriptor_of(link._transport)))

    async def open(self, nursery: Pool, *, template: bool = False) -> socket.socket | None:
        """Starts the process, from a thread of ``nursery``; OSError if the system refuses either.

        Returns the worker's end of what controls a ``template``, to be closed by who takes it.
        """
        controls = socket.socketpair(type=socket.SOCK_SEQPACKET) if template else ()
        ours, theirs = socket.socketpair()
        try:
            launching = nursery.call(lambda: self._launch(theirs, *controls[1:]))
        except ThreadRefused as error:
            for end in (ours, theirs, *controls):
                end.close()
            raise OSError(str(error)) from error
        try:
            await launching
            await self._attach(ours)
        except BaseException:
            for end in (ours, *controls[:1]):
                end.close()
            raise
        if isinstance(self.process, subprocess.Popen) and hasattr(os, "pidfd_open"):
            try:
                self._exit_watch = os.pidfd_open(self.process.pid)
            except OSError:
                pass  # not allowed: the end of the line tells of the end
            else:
                asyncio.get_running_loop().add_reader(self._exit_watch, self._exited)
        return controls[0] if controls else None

    async def open_copy(self, copies: Copies) -> Copy:
        """Has a template make the process; OSError if it has ended."""
        ours, theirs = socket.socketpair()
        mark = _memory()
        try:
            with theirs:
                self._mark = mmap.mmap(mark, MARK_SIZE)
                self.process = copy = copies.make(theirs, mark)
            copy.on_end = self._exited
            await self._attach(ours)
        except BaseException:
            ours.close()
            raise
        finally:
            os.close(mark)
        return copy

    async def _attach(self, ours: socket.socket) -> None:
        ours.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=ours)

    def _launch(self, *theirs: socket.socket) -> None:
        # the child has this thread's mask: a signal to the whole group must not end it before it can ignore it
        signal.pthread_sigmask(signal.SIG_BLOCK, WORKERS_SIGNALS)
        path = [entry for entry in sys.path if isinstance(entry, str)]
        mark = _memory()
        try:
            if self.killed:
                return
            self._mark = mmap.mmap(mark, MARK_SIZE)
            line, *control = (end.fileno() for end in theirs)
            passed = [line, mark, *control]
            numbers = ",".join(map(str, passed))
            self.process = subprocess.Popen(
                [sys.executable, *_flags(), "-c", BOOT, numbers, str(os.getpid()), *path],
                stdin=subprocess.DEVNULL, pass_fds=passed,
            )  # fmt: skip
        finally:
            os.close(mark)
            for end in theirs:
                end.close()
        if self.killed:
            # while it was being started
            self.process.kill()

    async def exchange(self, message: Any) -> Answer:
        """Sends a message and returns the answer; Hangup if the child ends before it, sends none, or stands still.

        A module may take long to be imported, and a handler to run; a child that waits for its next job begins at once.
        """
        if self._mark is not None:
            self._mark[0] = 0
        if self.dead or self._transport is None:
            raise Hangup
        encoded = framed(message)
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(encoded)
        watch = StandstillWatch(self._is_stopped if isinstance(message, Hello) else lambda: not self.begun, self.kill)
        try:
            return await self._waiting
        finally:
            self._waiting = None
            watch.end()

    @property
    def begun(self) -> bool:
        """Whether the child has begun with the last message; where it has died before, that may go to another."""
        return self._begun if self._mark is None else self._mark[0] == 1

    def _is_stopped(self) -> bool:
        return isinstance(self.process, subprocess.Popen) and is_stopped(self.process.pid)

    def release(self) -> None:
        """The child has ended: what it shared with the worker is let go of."""
        if self._mark is not None:
            self._begun = self.begun
            self._mark.close()
            self._mark = None

    @property
    def gone(self) -> bool:
        """Whether the child has ended, also where the line has not told of it yet."""
        return self.dead or self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        """Ends the child at once."""
        self.killed = True
        if self.process is not None:
            self.process.kill()
        self.hang_up()

    def hang_up(self) -> None:
        """Lets the child end by itself: it does when it sees the line end."""
        self.dead = True
        if self._transport is not None:
            self._transport.abort()

    async def ended(self, seconds: float) -> bool:
        """Whether the process has ended, or does within so many seconds."""
        deadline = time.monotonic() + seconds
        pause = 0.001
        while self.process is not None and self.process.poll() is None:
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.05)
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is none by its class
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= HEADER.size:
            end = HEADER.size + HEADER.unpack_from(self._received)[0]
            if len(self._received) < end:
                return
            encoded = bytes(self._received[HEADER.size : end])
            del self._received[:end]
            self._take(encoded)

    def connection_lost(self, error: Exception | None) -> None:
        self.dead = True
        self._unwatch()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(Hangup())

    def _take(self, encoded: bytes) -> None:
        if self._waiting is None or self._waiting.done():
            # nobody asked, or nobody wants to know any more
            self.kill()
            return
        try:
            answer = pickle.loads(encoded)
        except Exception:
            answer = None
        if isinstance(answer, Answer):
            self._waiting.set_result(answer)
        else:
            self._waiting.set_exception(Hangup("what it sent is no answer"))

    def _exited(self) -> None:
        self._unwatch()
        if self._transport is not None:
            asyncio.get_running_loop().call_later(LAST_WORDS_SECONDS, self._transport.abort)

    def _unwatch(self) -> None:
        if self._exit_watch is not None:
            asyncio.get_running_loop().remove_reader(self._exit_watch)
            os.close(self._exit_watch)
            self._exit_watch = None


def _memory() -> int:
    """A descriptor of memory to share with a child."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("crewline-child")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.truncate(descriptor, MARK_SIZE)
    return descriptor


def _flags() -> list[str]:
    """This interpreter's own flags, for a child's."""
    # multiprocessing's own way, which Python promises nobody: without it the child has none
    told = getattr(subprocess, "_args_from_interpreter_flags", list)
    return told()
