"""What the commands share: their common options, and how errors end."""

from __future__ import annotations

import asyncio
import datetime
import json
import math
import os
import re
import sys
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from crewline.errors import CrewlineError, InvalidOption
from crewline.queue.store import DEFAULT_PREFIX, DEFAULT_REDIS
from crewline.redis.connection import UNAVAILABLE, redact
from crewline.wire.retention import Keep

if TYPE_CHECKING:
    from rich.text import Text

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REDIS = 3
#: EX_CONFIG of sysexits.h: restarting will not help.
EXIT_HANDLER = 78

T = TypeVar("T")

QueueOption = Annotated[
    str, typer.Option("--queue", "-q", envvar="CREWLINE_QUEUE", help="The queue's name.", show_default=False)
]
RedisOption = Annotated[
    str,
    typer.Option(
        "--redis", "-r", envvar="CREWLINE_REDIS_URL", help="Redis, as redis://\\[user:password@]host:port/db."
    ),
]
PrefixOption = Annotated[str, typer.Option("--prefix", envvar="CREWLINE_PREFIX", help="BullMQ's key prefix.")]
LettersOption = Annotated[
    str | None,
    typer.Option(
        "--dead-letter-queue",
        envvar="CREWLINE_DEAD_LETTER_QUEUE",
        help="Where jobs that failed for good go.",
        show_default="<queue>-dlq",
    ),
]
KeepCompletedOption = Annotated[
    str | None,
    typer.Option(
        "--keep-completed",
        envvar="CREWLINE_KEEP_COMPLETED",
        help="How many completed jobs stay and how long, as 1000, 24h or 1000,24h; all; 0 for none.",
        show_default=False,
    ),
]
KeepFailedOption = Annotated[
    str | None,
    typer.Option("--keep-failed", envvar="CREWLINE_KEEP_FAILED", help="The same for failed jobs.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

__all__ = ["DEFAULT_PREFIX", "DEFAULT_REDIS"]


#: What a terminal would obey or be deceived by: control characters, those that turn the direction of writing or are
#: not seen, line separators, halves of characters.
_unprintable = re.compile(
    r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)


def shown(value: object, *, lines: bool = False) -> str:
    """Text of a job, a queue, a worker or an event, safe for a terminal: all that is printed goes through here.

    Anybody who may add jobs chooses it. What a terminal would obey is written as JSON writes it (``\\u001b``).

    Args:
        lines: the text may have lines and tabs.
    """
    kept = "\n\t" if lines else ""
    return _unprintable.sub(lambda found: found[0] if found[0] in kept else _escaped(found[0]), str(value))


def cell(value: object) -> Text:
    """A table's cell, of the text's first line: no markup, nothing that a terminal obeys."""
    from rich.text import Text

    return Text(shown(str(value).split("\n", 1)[0]))


def say(message: object) -> None:
    """Prints a line, or several."""
    print(shown(message, lines=True), flush=True)


def moment(epoch_ms: int | None) -> str:
    """An epoch in milliseconds as people read it, in UTC; ``?`` where another client wrote what is no date."""
    if epoch_ms is None:
        return ""
    try:
        return datetime.datetime.fromtimestamp(epoch_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "?"


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """Says what is wrong and ends."""
    print(f"crewline: {shown(message, lines=True)}", file=sys.stderr)
    raise typer.Exit(code)


def read_keep(text: str | None, option: str) -> Keep | None:
    """What ``--keep-completed`` and ``--keep-failed`` say; None if they are left out."""
    if not text:
        return None
    if text == "all":
        return Keep()
    count = age_seconds = None
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,9})([smhd]?)", part.strip())
        if not found or (count if not found[2] else age_seconds) is not None:
            fail(
                f"{option} {text!r} can't be used: say how many, how long, or both, as 1000, 24h or 1000,24h "
                "(s, m, h, d), or all",
                EXIT_USAGE,
            )
        if found[2]:
            age_seconds = int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
        else:
            count = int(found[1])
    return Keep(count, age_seconds)


def to_json(value: Any, **options: Any) -> str:
    """JSON as any reader takes it: a number that JSON has not (a foreign client's 1e999) is told as text."""
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False, **options)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _escaped(character: str) -> str:
    code = ord(character)
    if code > 0xFFFF:
        high, low = divmod(code - 0x10000, 0x400)
        return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
    return f"\\u{code:04x}"


def run(work: Coroutine[Any, Any, T], redis: str) -> T:
    """Runs a command's work; errors end as one sentence and the exit code that fits."""
    try:
        return asyncio.run(work)
    except InvalidOption as error:
        fail(str(error), EXIT_USAGE)
    except CrewlineError as error:
        fail(str(error))
    except BrokenPipeError:
        # whoever read the output has enough; a flush at exit would say so once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(EXIT_FAILED) from None
    except UNAVAILABLE as error:
        fail(f"Redis at {redact(redis)} can't be used: {error}; check --redis (or CREWLINE_REDIS_URL)", EXIT_REDIS)
