"""A child's life: it loads the handler, and runs one job after the other until the worker hangs up."""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import socket
import sys
import traceback
from typing import Any

from crewline.wire.text import reason_of
from crewline.worker.processes.child.parent import end_with, ignore_workers_signals
from crewline.worker.processes.child.running import Child
from crewline.worker.processes.child.template import Template, can_be_copied, held_now
from crewline.worker.processes.messages import HEADER, MARK_SIZE, WORKERS_SIGNALS, Answer, Hello, framed


def main(descriptors: list[int], worker: int) -> None:
    """A child's life.

    Args:
        descriptors: of its end of the line, a socket; of a file in memory, the mark by which the worker knows whether
            a job began whose child died; and of a template's control, a socket, if it may become one.
        worker: the process id of the worker, which it does not outlive.
    """
    end_with(worker)
    ignore_workers_signals()
    # blocked by the worker's thread that made this process, lest one comes before this moment
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WORKERS_SIGNALS)
    line, mark, *control = descriptors
    for each in descriptors:
        # a program that a handler starts must not hold the line open
        os.set_inheritable(each, False)
    try:
        _serve(socket.socket(fileno=line), mark, *(socket.socket(fileno=each) for each in control))
    except OSError:
        pass  # the worker has hung up


def _serve(line: socket.socket, mark: int, control: socket.socket | None = None) -> None:
    hello: Hello | None = _receive(line)
    if hello is None:
        return
    sys.argv[:] = hello.argv
    child = Child(hello.where, hello.main)
    held = held_now()
    try:
        child.load(hello.spec)
    except BaseException as error:
        text = (
            reason_of(error) if isinstance(error, Exception) else f"handler {hello.spec!r}: its import raised {error!r}"
        )
        _send(line, Answer("", "", "unusable", text))
        return
    if control is None or not can_be_copied(held):
        _send(line, Answer("", "", "ready", ""))
        if control is not None:
            control.close()
    else:
        _send(line, Answer("", "", "template", ""))
        template = os.getpid()
        copy = Template(control).serve()
        line.close()
        os.close(mark)
        if copy is None:
            return
        end_with(template)
        child.is_copy()
        line, mark = copy
        code = 1
        try:
            _answer(line, mark, child)
            code = 0
        except OSError:
            code = 0  # the worker has hung up
        except BaseException:
            traceback.print_exc()
        finally:
            # what the module registered to be done at exit is done by the process that imported it
            os._exit(code)
    _answer(line, mark, child)


def _answer(line: socket.socket, mark: int, child: Child) -> None:
    begun = mmap.mmap(mark, MARK_SIZE)
    os.close(mark)
    while (request := _receive(line)) is not None:
        begun[0] = 1
        answer = child.answer(request)
        for stream in (sys.stdout, sys.stderr):
            try:
                # the worker may kill this process at any time: what a handler printed is not to go with it
                stream.flush()
            except (AttributeError, OSError, ValueError):
                pass
        _send(line, answer)


def _send(line: socket.socket, message: Any) -> None:
    line.sendall(framed(message))


def _receive(line: socket.socket) -> Any:
    """The next message; None where the worker has hung up."""
    received = bytearray()
    length = HEADER.size
    while len(received) < length:
        part = line.recv(1 << 18)
        if not part:
            return None
        received += part
        if length == HEADER.size and len(received) >= HEADER.size:
            length += HEADER.unpack_from(received)[0]
    return pickle.loads(memoryview(received)[HEADER.size :])
