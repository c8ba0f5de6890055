"""Runs jobs in a child.

The handler gets a real job, with a connection to Redis that is this process' own and is opened when the handler first
uses it; the job's lease token fences what it writes. So the line to the worker carries nothing but a request and its
answer, and no error in the middle of a run can leave something on it that is taken for another job's.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
import time
import traceback
from typing import Any

from crewline import forks
from crewline.beside import start_loop
from crewline.errors import HandlerNotFound, InvalidPayload, LeaseLost, Reject, Retry
from crewline.queue.job import Job
from crewline.queue.queue import Queue
from crewline.wire import jsonio
from crewline.wire.text import reason_of, trace_of
from crewline.worker.handlers.exits import awaited, contained
from crewline.worker.handlers.forks import end_copy, guard_loop
from crewline.worker.handlers.loading import load_handler
from crewline.worker.handlers.routing import Router
from crewline.worker.handlers.syncjob import SyncJob
from crewline.worker.handlers.targets import Target, Targets
from crewline.worker.processes import mainfile
from crewline.worker.processes.messages import Answer, Request, Where

#: Seconds before a loop that broke off runs again: one that does so each time is not to fill the log.
PAUSE_SECONDS = 0.1


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
        self._queues: dict[asyncio.AbstractEventLoop, Queue] = {}
        self._runner = asyncio.Runner()
        self._beside: asyncio.AbstractEventLoop | None = None
        self._depth = forks.depth

    def is_copy(self) -> None:
        """This process is a copy of the one that made this object."""
        self._depth = forks.depth

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
            # the line is not that of a child which the handler has forked
            end_copy(self._depth, raised)
            answer = _failure(request, contained(raised))
        end_copy(self._depth)
        return answer

    def _run(self, request: Request) -> Answer:
        target = self.load(request.spec)
        try:
            loop = self._runner.get_loop() if target.execution == "async" else self._loop_beside()
            queue = self._queue_on(loop)
        except Exception as error:
            # no thread, no descriptor: that is this process' own, and the handler has not begun
            return Answer(request.job_id, request.token, "unable", reason_of(error))
        name, data, opts, started, fields, queue.default_attempts = pickle.loads(request.content)
        job = Job(queue, request.job_id, name, data, opts, request.token, started, fields)
        if target.execution == "async":
            value = self._runner.run(_call(target, job))
        else:
            value = target.call(*target.arguments(SyncJob(job, loop)))
            if asyncio.iscoroutine(value):
                # a plain function that calls an `async def` one and hands on what it gets: its job's calls are awaited
                # where they are carried out
                value = asyncio.run_coroutine_threadsafe(awaited(value), loop).result()
        try:
            text = "null" if value is None else jsonio.dumps(value, "the handler's result")
        except InvalidPayload as error:
            return Answer(request.job_id, request.token, "refused", str(error))
        return Answer(request.job_id, request.token, "done", text)

    def _queue_on(self, loop: asyncio.AbstractEventLoop) -> Queue:
        """The queue for what a loop carries out: a connection belongs to the loop that opened it."""
        if loop not in self._queues:
            at = self._where
            queue = Queue(at.queue, redis=at.url, prefix=at.prefix, timeout_seconds=at.timeout_seconds)
            queue.lease_ms = at.lease_ms
            self._queues = {known: each for known, each in self._queues.items() if not known.is_closed()}
            self._queues[loop] = queue
        return self._queues[loop]

    def _loop_beside(self) -> asyncio.AbstractEventLoop:
        """The loop that carries out a blocking job's calls, in a thread of its own."""
        if self._beside is None or self._beside.is_closed():
            self._beside = start_loop("crewline-calls", _keep_running)
        return self._beside


def _keep_running(loop: asyncio.AbstractEventLoop) -> None:
    """Runs a loop for as long as this process lives, whatever a handler does to stop it: others wait for its calls.

    One that it has closed can't run again: the next job gets another.
    """
    while not loop.is_closed():
        try:
            loop.run_forever()
        except BaseException:
            # a task of the handler's has called sys.exit(): nobody's end but its own
            traceback.print_exc()
            time.sleep(PAUSE_SECONDS)


def _load_main(path: str, spec: str) -> None:
    try:
        mainfile.load(path)
    except Exception as error:
        raise HandlerNotFound(f"handler {spec!r}: {path} can't be loaded: {type(error).__name__}: {error}") from error


async def _call(target: Target, job: Job) -> Any:
    guard_loop()
    return await awaited(target.call(*target.arguments(job)))


def _failure(request: Request, error: Exception) -> Answer:
    run = (request.job_id, request.token)
    kind, delay = "failed", None
    if isinstance(error, Reject):
        kind = "reject"
    elif isinstance(error, Retry):
        kind, delay = "retry", error.seconds
    elif isinstance(error, LeaseLost) and error.lease == run:
        kind = "lost"
    return Answer(*run, kind, reason_of(error), trace_of(error), delay)
