"""What a run in a child process comes to: what the handler returned or raised, or how its process ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Any

from crewline.errors import CrewlineError, LeaseLost, Reject, Retry
from crewline.wire import jsonio
from crewline.worker.processes.messages import Answer


class ChildFailed(CrewlineError):
    """A handler in a child process raised; carries the child's stack trace."""

    def __init__(self, reason: str, trace: str) -> None:
        super().__init__(reason)
        self.trace = trace


class ChildDied(CrewlineError):
    """A child process ended in the middle of a run.

    Attributes:
        code: its exit code; less than 0 for the signal that killed it; None if it was killed for what it sent, or
            for a line that it closed.
        oom: the kernel killed it for want of memory.
    """

    def __init__(self, code: int | None, oom: bool = False) -> None:
        super().__init__(f"the handler's process {'was OOMKilled: out of memory' if oom else _how(code)}")
        self.code = code
        self.oom = oom


class ChildUnavailable(CrewlineError):
    """No child process has begun with the job: there was none, or the worker has stopped. Not the job's doing."""


class ChildRefused(ChildUnavailable):
    """The system has no process to give now."""


class NeverReady(CrewlineError):
    """No child process of the handler's has been ready for long: that is its module's doing, in all likelihood."""


@dataclass(frozen=True)
class Returned:
    """What a handler returned.

    Attributes:
        text: as JSON, which has been checked.
    """

    text: str

    @property
    def value(self) -> Any:
        return jsonio.loads(self.text, "the handler's result")


def outcome(answer: Answer) -> Returned:
    """What a child's answer comes to: a value, or the error that the handler raised."""
    match answer.kind:
        case "done":
            return Returned(answer.text)
        case "reject" | "refused":
            raise Reject(answer.text)
        case "retry":
            raise Retry(answer.text, delay=answer.delay)
        case "lost":
            raise LeaseLost(answer.text, (answer.job_id, answer.token))
        case _:
            raise ChildFailed(answer.text, answer.trace)


def _how(code: int | None) -> str:
    if code is None:
        return "broke off its exchange with the worker: it was killed"
    if code == 0:
        return "ended without an answer: its handler exited with code 0, or closed the line to the worker"
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}" + (" (out of memory, perhaps)" if -code == signal.SIGKILL else "")
