"""What the commands print: safe for a terminal, JSON for any reader, and no work stops for want of somebody to read."""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from crewline.wire.text import shown as shown

if TYPE_CHECKING:
    from rich.text import Text


#: Levels of lists and objects that are printed where not all of them can be.
MOST_LEVELS = 100


class OutputClosed(Exception):
    """Nobody reads what is printed, or it can't be written; raised where printing is all that a command does."""


def cell(value: object) -> Text:
    """A table's cell, of the text's first line: no markup, nothing that a terminal obeys."""
    from rich.text import Text

    return Text(shown(str(value).split("\n", 1)[0]))


def say(message: object) -> None:
    """Prints a line, or several, on what was done; where nobody reads it any more, the work goes on all the same."""
    with contextlib.suppress(OutputClosed):
        tell(message)


def tell(message: object) -> None:
    """The same where printing is all that a command does: raises OutputClosed where that can't be."""
    with printing():
        print(shown(message, lines=True), flush=True)


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """What is printed within raises OutputClosed where that can't be."""
    try:
        yield
    except OSError as error:
        give_up_output(error)
        raise OutputClosed from error


def give_up_output(error: OSError) -> None:
    """Nothing is printed from here on; what can't be written, other than to a reader that has enough, is said once."""
    # Python would flush at exit what is left, and say so once more
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    if error.errno != errno.EPIPE:
        complain(f"the output can't be written: {error.strerror or error}")


def complain(message: str) -> None:
    """Says what is wrong, on the standard error."""
    with contextlib.suppress(OSError):
        print(f"crewline: {shown(message, lines=True)}", file=sys.stderr, flush=True)


def moment(epoch_ms: int | None) -> str:
    """An epoch in milliseconds as people read it, in UTC; ``?`` where another client wrote what is no date."""
    if epoch_ms is None:
        return ""
    try:
        return datetime.datetime.fromtimestamp(epoch_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "?"


def to_json(value: Any, **options: Any) -> str:
    """JSON as any reader takes it: a number that JSON has not (a foreign client's 1e999) is told as text.

    So is what is nested too deeply to be written, beside what else there is.
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except (ValueError, RecursionError):
        return json.dumps(_tellable(value, MOST_LEVELS), allow_nan=False, **options)


def _tellable(value: Any, levels: int) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if not isinstance(value, Mapping | list | tuple):
        return value
    if not levels:
        return "nested too deeply"
    if isinstance(value, Mapping):
        return {key: _tellable(item, levels - 1) for key, item in value.items()}
    return [_tellable(item, levels - 1) for item in value]
