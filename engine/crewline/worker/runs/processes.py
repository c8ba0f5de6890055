"""Runs plain functions in processes of their own: for work that holds the interpreter, or has to be stopped for sure.

Each slot has a child process that is started when it is first needed and serves one job at a time. A run that
exceeds its time, or is cancelled, is ended by killing its child. A child that dies takes its job's attempt with it,
never the worker.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from crewline.errors import CrewlineError, InvalidOption, Reject, Retry
from crewline.queue.job import Job

#: What a child's job carries over; everything else of a job stays in the worker.
CARRIED = ("id", "name", "data", "opts", "attempts_made", "attempts_started", "priority", "timestamp_ms", "queue_name")
#: Methods that a child's job may call; the worker carries them out.
CALLS = ("progress", "log", "extend")


class ChildJob:
    """A job in a child process: what it carries, and methods that the worker carries out."""

    def __init__(self, connection: Connection, carried: dict[str, Any]) -> None:
        self._connection = connection
        self.__dict__.update(carried)

    def _ask(self, method: str, *arguments: Any) -> Any:
        self._connection.send(("call", method, arguments))
        outcome, value = self._connection.recv()
        if outcome == "error":
            raise CrewlineError(value)
        return value

    def progress(self, value: Any) -> None:
        self._ask("progress", value)

    def log(self, line: str) -> int:
        return int(self._ask("log", line))

    def extend(self, seconds: float) -> None:
        self._ask("extend", seconds)


def _serve(connection: Connection, path: list[str]) -> None:
    """A child's life: one job after the other, until the worker hangs up."""
    from crewline.worker.handlers.loading import load_handler
    from crewline.worker.handlers.routing import Router
    from crewline.worker.handlers.targets import Target, _validator

    # the worker decides when a child ends, also when the whole group is signalled
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.path[:] = path
    known: dict[str, Target] = {}
    while True:
        try:
            spec, carried = connection.recv()
        except (EOFError, OSError):
            return
        try:
            if spec not in known:
                call = load_handler(spec)
                assert not isinstance(call, Router)
                known[spec] = Target(call, "process", _validator(call))
            target = known[spec]
            connection.send(("done", target.call(*target.arguments(ChildJob(connection, carried)))))
        except Exception as error:
            trace = "".join(traceback.format_exception(error))
            kind = "reject" if isinstance(error, Reject) else "retry" if isinstance(error, Retry) else "error"
            delay = error.delay if isinstance(error, Retry) else None
            connection.send((kind, str(error) or type(error).__name__, trace, delay))


class ChildFailed(CrewlineError):
    """A handler in a child process raised; carries the child's stack trace."""

    def __init__(self, reason: str, trace: str) -> None:
        super().__init__(reason)
        self.trace = trace


class _Child:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, list(sys.path)), daemon=True)
        self.process.start()
        theirs.close()

    async def receive(self) -> Any:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self.connection.fileno(), readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self.connection.fileno())
        return self.connection.recv()

    def kill(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join(5)


class Processes:
    """The child processes of one worker."""

    def __init__(self) -> None:
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()

    def close(self) -> None:
        for child in (*self._idle, *self._busy):
            child.kill()
        self._idle.clear()

    async def run(self, job: Job, call: Callable[..., Any], timeout: float | None) -> Any:
        """Runs ``call`` in a child; raises what it raised, TimeoutError, or CrewlineError if the child died."""
        child = self._idle.pop() if self._idle else await asyncio.to_thread(_Child)
        self._busy.add(child)
        try:
            async with asyncio.timeout(timeout):
                value = await self._converse(child, job, spec_of(call))
        except TimeoutError:
            child.kill()
            raise TimeoutError(f"timed out after {timeout:g} s: its process was killed") from None
        except (EOFError, OSError):
            child.process.join(5)
            code = child.process.exitcode
            child.kill()
            raise CrewlineError(f"the handler's process ended with exit code {code}") from None
        except asyncio.CancelledError:
            child.kill()
            raise
        except BaseException:
            self._idle.append(child)
            raise
        else:
            self._idle.append(child)
            return value
        finally:
            self._busy.discard(child)

    @staticmethod
    async def _converse(child: _Child, job: Job, spec: str) -> Any:
        child.connection.send((spec, {name: getattr(job, name) for name in CARRIED}))
        while True:
            kind, *rest = await child.receive()
            if kind == "done":
                return rest[0]
            if kind == "call":
                method, arguments = rest
                try:
                    answer = ("ok", await getattr(job, method)(*arguments)) if method in CALLS else ("error", method)
                except (CrewlineError, OSError) as error:
                    answer = ("error", str(error))
                child.connection.send(answer)
            elif kind == "reject":
                raise Reject(rest[0])
            elif kind == "retry":
                raise Retry(rest[0], delay=rest[2])
            else:
                raise ChildFailed(rest[0], rest[1])


def spec_of(call: Callable[..., Any]) -> str:
    """The ``module:function`` by which a child finds a handler; InvalidOption if it can't be found so."""
    module, name = getattr(call, "__module__", None), getattr(call, "__qualname__", "")
    with contextlib.suppress(AttributeError, KeyError):
        target: Any = sys.modules[module or ""]
        for part in name.split("."):
            target = getattr(target, part)
        if target is call and module != "__main__":
            return f"{module}:{name}"
    raise InvalidOption(
        f"handler {name or call!r} can't run in a process: put it at the top level of a module that can be imported"
    )
