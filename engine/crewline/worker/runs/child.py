"""A worker's child process, from the inside: it runs one job after the other until the worker hangs up.

The handler gets a real job, with a connection to Redis that is this process' own and is opened when the handler first
uses it; the job's lease token fences what it writes. So the line to the worker carries nothing but a request and its
answer, and no error in the middle of a run can leave something on it that is taken for another job's.
"""

from __future__ import annotations

import asyncio
import inspect
import mmap
import os
import pickle
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from typing import Any, NamedTuple

from crewline.errors import HandlerNotFound, InvalidPayload, LeaseLost, Reject, Retry
from crewline.queue.job import Job
from crewline.queue.queue import Queue
from crewline.redis.address import redact
from crewline.wire import jsonio
from crewline.wire.text import reason_of
from crewline.worker.handlers.loading import load_handler
from crewline.worker.handlers.routing import Router
from crewline.worker.handlers.targets import Target, Targets
from crewline.worker.runs import mainfile
from crewline.worker.runs.exits import awaited, contained
from crewline.worker.runs.template import Template, can_be_copied, held_now
from crewline.worker.runs.threads import SyncJob

#: What a child's interpreter runs; arguments: the descriptors of the line, of the mark and of a template's control, the
#: worker's process id, the worker's sys.path.
BOOT = (
    "import sys; sys.path[:] = sys.argv[3:]; from crewline.worker.runs.child import main; "
    "main([int(each) for each in sys.argv[1].split(',')], int(sys.argv[2]))"
)
#: Bytes of memory that a child shares with its worker: the first is 1 once it has begun with what it was asked.
MARK_SIZE = 1
#: Before each message on the line: its length in bytes.
HEADER = struct.Struct("!Q")
#: Signals that are the worker's to handle, also where the whole group gets them.
WORKERS_SIGNALS = (signal.SIGINT, signal.SIGTERM)
#: Linux' prctl: the signal that comes when the thread that made this process ends.
PR_SET_PDEATHSIG = 1
#: Seconds between two looks whether the worker is there, where the system does not tell of its end.
LOOK_SECONDS = 1.0


class Where(NamedTuple):
    """Where a child finds the queue, for a connection of its own."""

    url: str
    prefix: str
    queue: str
    timeout_seconds: float
    lease_ms: int = 30_000

    def __repr__(self) -> str:
        return f"Where({redact(self.url)!r}, {self.prefix!r}, {self.queue!r})"


class Hello(NamedTuple):
    """The first message to a child: what it is to load before it says that it is ready.

    ``argv`` and ``main``, the main file's path, are the worker's.
    """

    where: Where
    spec: str
    argv: list[str]
    main: str


class Request(NamedTuple):
    """One run: the job by id and lease token, the handler by ``module:function``, and the job's pickled content."""

    job_id: str
    token: str
    spec: str
    content: bytes


class Answer(NamedTuple):
    """How a run ended, and which. ``text`` is the result's JSON where ``kind`` is ``done``, else the reason.

    Kinds: ``done``, ``refused`` (a result that is not JSON), ``reject``, ``retry``, ``lost``, ``failed``; at the start
    ``ready``, ``template`` (it makes copies, and runs nothing itself) or ``unusable``.
    """

    job_id: str
    token: str
    kind: str
    text: str
    trace: str = ""
    delay: float | None = None


class Child:
    """Runs jobs in this process.

    Args:
        where: the queue that the jobs are of.
        main: the path of the worker's main file, '' for none.
    """

    def __init__(self, where: Where, main: str) -> None:
        self._where = where
        self._main = main
        self._targets: dict[str, Target] = {}
        self._queues: dict[str, Queue] = {}
        self._runner = asyncio.Runner()
        self._beside: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()

    def is_copy(self) -> None:
        """This process is a copy of the one that made this object."""
        self._pid = os.getpid()

    def load(self, spec: str) -> Target:
        """The handler; HandlerNotFound or InvalidOption if there is none that can be called."""
        if spec not in self._targets:
            if spec.startswith(f"{mainfile.NAME}:") and mainfile.NAME not in sys.modules:
                _load_main(self._main, spec)
            call = load_handler(spec)
            assert not isinstance(call, Router)
            self._targets[spec] = Targets(call, None).all()[0]
        return self._targets[spec]

    def answer(self, request: Request) -> Answer:
        """Runs the job; whatever the handler raises is an answer, and this process lives on."""
        try:
            answer = self._run(request)
        except BaseException as raised:
            answer = _failure(request, contained(raised))
        if os.getpid() != self._pid:
            # a copy that the handler has forked and let run on: the line is not its own
            os._exit(1)
        return answer

    def _run(self, request: Request) -> Answer:
        target = self.load(request.spec)
        if target.execution not in self._queues:
            # one for each loop: a connection belongs to the loop that opened it
            at = self._where
            queue = Queue(at.queue, redis=at.url, prefix=at.prefix, timeout_seconds=at.timeout_seconds)
            queue.lease_ms = at.lease_ms
            self._queues[target.execution] = queue
        name, data, opts, started, fields = pickle.loads(request.content)
        job = Job(self._queues[target.execution], request.job_id, name, data, opts, request.token, started, fields)
        if target.execution == "async":
            value = self._runner.run(_call(target, job))
        else:
            value = target.call(*target.arguments(SyncJob(job, self._loop_beside())))
            if inspect.iscoroutine(value):
                # a plain function that calls an `async def` one and hands on what it gets
                value = self._runner.run(awaited(value))
        try:
            text = "null" if value is None else jsonio.dumps(value, "the handler's result")
        except InvalidPayload as error:
            return Answer(request.job_id, request.token, "refused", str(error))
        return Answer(request.job_id, request.token, "done", text)

    def _loop_beside(self) -> asyncio.AbstractEventLoop:
        """The loop that carries out a blocking job's calls, in a thread of its own."""
        if self._beside is None:
            self._beside = asyncio.new_event_loop()
            threading.Thread(target=self._beside.run_forever, name="crewline-calls", daemon=True).start()
        return self._beside


def _load_main(path: str, spec: str) -> None:
    try:
        mainfile.load(path)
    except Exception as error:
        raise HandlerNotFound(f"handler {spec!r}: {path} can't be loaded: {type(error).__name__}: {error}") from error


async def _call(target: Target, job: Job) -> Any:
    return await awaited(target.call(*target.arguments(job)))


def _failure(request: Request, error: Exception) -> Answer:
    try:
        reason = reason_of(error)
        trace = "".join(traceback.format_exception(error))
        delay = float(error.delay) if isinstance(error, Retry) and error.delay is not None else None
    except BaseException as broken:
        return Answer(
            request.job_id, request.token, "failed", f"{type(error).__name__}, which can't be told: {broken!r}"
        )
    kinds = {Reject: "reject", Retry: "retry", LeaseLost: "lost"}
    kind = next((kind for known, kind in kinds.items() if isinstance(error, known)), "failed")
    return Answer(request.job_id, request.token, kind, reason, trace, delay)


def main(descriptors: list[int], worker: int) -> None:
    """A child's life.

    Args:
        descriptors: of its end of the line, a socket; of a file in memory, the mark by which the worker knows whether
            a job began whose child died; and of a template's control, a socket, if it may become one.
        worker: the process id of the worker, which it does not outlive.
    """
    _end_with(worker)
    for number in WORKERS_SIGNALS:
        # not SIG_IGN: programs that a handler starts would inherit it, and could not be told to end
        signal.signal(number, lambda *_: None)
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
        _end_with(template)
        child.is_copy()
        line, mark = copy
        try:
            _answer(line, mark, child)
        finally:
            # what the module registered to be done at exit is done by the process that imported it
            os._exit(0)
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
    encoded = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    line.sendall(HEADER.pack(len(encoded)) + encoded)


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


def _end_with(worker: int) -> None:
    """Sees to it that this process ends when the worker does, also by SIGKILL and in the middle of a call into C."""
    told = False
    if sys.platform == "linux":
        try:
            import ctypes

            told = ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0
        except (ImportError, OSError, AttributeError):
            pass
    if not told:
        threading.Thread(target=_watch, args=(worker,), name="crewline-watch", daemon=True).start()
    if os.getppid() != worker:
        # it ended before this process could ask to be told
        os._exit(1)


def _watch(worker: int) -> None:
    while os.getppid() == worker:
        time.sleep(LOOK_SECONDS)
    os._exit(1)
