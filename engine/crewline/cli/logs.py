"""The log that ``crewline worker`` writes on its standard error: lines for people, or JSON for programs.

Both are made of what jobs, handlers and libraries say, which anybody may have chosen: what a terminal would obey is
escaped, URLs are without passwords, and no text can look like a line of its own.
"""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
from typing import TYPE_CHECKING

from crewline.wire.text import loggable, printable

if TYPE_CHECKING:
    from crewline.cli.progress import ProgressLine

FORMATS = ("text", "json")


def set_up(level: str, kind: str) -> ProgressLine | None:
    """Begins the log; returns the line below it that says how the work goes, where a person is looking on."""
    line = _on_terminal() if kind == "text" else None
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ForPrograms() if kind == "json" else ForPeople())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    return line


def _on_terminal() -> ProgressLine | None:
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return None
    from crewline.cli.progress import ProgressLine

    return ProgressLine(sys.stderr)


class ForPeople(logging.Formatter):
    """One line a record; a stack trace is indented below it."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        return loggable(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        first, *rest = super().format(record).split("\n")
        return "\n".join([first, *(f"  {loggable(line, lines=True)}" for line in rest)])


class ForPrograms(logging.Formatter):
    """One JSON object a line: ``time``, ``level``, ``logger``, ``message``, and what a record of a job's tells beside.

    Strings are ASCII: a lone surrogate is no text that everybody reads.
    """

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": loggable(record.getMessage()),
            **getattr(record, "crewline", {}),
        }
        trace = record.exc_text or (self.formatException(record.exc_info) if record.exc_info else "")
        if trace:
            told["trace"] = loggable(trace, lines=True)
        return json.dumps(told, default=lambda value: printable(str(value)))
