"""How a worker's process says why it ends: to whoever reads what it prints, and to Kubernetes."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import typer

from crewline.cli.printing import complain
from crewline.cli.usage import Command, fail
from crewline.worker.handlers import loading as handlers

#: Where Kubernetes reads why a container ended.
TERMINATION_LOG = Path("/dev/termination-log")


class WorkerCommand(Command):
    """A worker's command line: what is wrong with it is told to Kubernetes, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            _tell_kubernetes(error.format_message())
            raise


def tell_end(message: str, what: str = "") -> None:
    _tell_kubernetes(message)
    complain(what + message)


def refuse(message: str, code: int) -> NoReturn:
    _tell_kubernetes(message)
    fail(message, code)


def _tell_kubernetes(message: str) -> None:
    """Leaves the reason where Kubernetes shows it: in the container's last state."""
    with contextlib.suppress(OSError):
        if TERMINATION_LOG.exists():
            TERMINATION_LOG.write_text(message[-4000:])


def users_part(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """What to log of an import's error: the frames from the user's module on."""
    frame = error.__traceback__
    while frame and (
        frame.tb_frame.f_code.co_filename == handlers.__file__ or "importlib" in frame.tb_frame.f_globals["__name__"]
    ):
        frame = frame.tb_next
    return type(error), error, frame
