"""What the commands share: their common options, and how what they do in Redis ends."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer

from crewline.cli.printing import OutputClosed
from crewline.cli.usage import EXIT_FAILED, EXIT_REDIS, EXIT_USAGE, checked, converted, fail
from crewline.errors import CrewlineError, InvalidOption
from crewline.queue.store import DEFAULT_PREFIX, DEFAULT_REDIS
from crewline.redis.address import redact
from crewline.redis.completed import access_from_env, complete_url
from crewline.redis.connection import UNAVAILABLE
from crewline.wire.keys import check_prefix, check_queue_name
from crewline.wire.retention import Keep

T = TypeVar("T")

LETTERS_VARIABLE = "CREWLINE_DEAD_LETTER_QUEUE"


def read_keep(text: str | None) -> Keep | None:
    """What ``--keep-completed`` and ``--keep-failed`` say; None if they are left out. Raises InvalidOption."""
    if not text:
        return None
    if text == "all":
        return Keep()
    count = age_seconds = None
    for part in text.split(","):
        found = re.fullmatch(r"(\d{1,9})([smhd]?)", part.strip())
        if not found or (count if not found[2] else age_seconds) is not None:
            raise InvalidOption(
                f"{text!r} can't be used: say how many, how long (s, m, h, d), or both, as 1000, 24h, 1000,24h; or all"
            )
        if found[2]:
            age_seconds = int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
        else:
            count = int(found[1])
    return Keep(count, age_seconds)


def _complete(url: str) -> str:
    return complete_url(url, access_from_env(os.environ))


QueueOption = Annotated[
    str,
    typer.Option(
        "--queue",
        "-q",
        envvar="CREWLINE_QUEUE",
        help="The queue's name.",
        show_default=False,
        callback=checked(check_queue_name),
    ),
]
RedisOption = Annotated[
    str,
    typer.Option(
        "--redis",
        "-r",
        envvar="CREWLINE_REDIS_URL",
        help="Redis' URL, as redis://host:port/db.",
        callback=converted(_complete),
    ),
]
PrefixOption = Annotated[
    str,
    typer.Option("--prefix", envvar="CREWLINE_PREFIX", help="BullMQ's key prefix.", callback=checked(check_prefix)),
]


def _letters(queue: str | None) -> str | None:
    # typer takes a variable that is empty for one that is not there
    return "" if queue is None and os.environ.get(LETTERS_VARIABLE) == "" else queue


LettersOption = Annotated[
    str | None,
    typer.Option(
        "--dead-letter-queue",
        envvar=LETTERS_VARIABLE,
        help="Where jobs that failed for good go; '' for nowhere.",
        show_default="<queue>-dlq",
        callback=_letters,
    ),
]
KeepCompletedOption = Annotated[
    str | None,
    typer.Option(
        "--keep-completed",
        envvar="CREWLINE_KEEP_COMPLETED",
        help="How many completed jobs stay and how long, as 1000, 24h or 1000,24h; all; 0 for none.",
        show_default=False,
        callback=checked(read_keep),
    ),
]
KeepFailedOption = Annotated[
    str | None,
    typer.Option(
        "--keep-failed",
        envvar="CREWLINE_KEEP_FAILED",
        help="The same for failed jobs.",
        show_default=False,
        callback=checked(read_keep),
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

__all__ = ["DEFAULT_PREFIX", "DEFAULT_REDIS"]


def run(work: Coroutine[Any, Any, T], redis: str) -> T:
    """Runs a command's work; errors end as one sentence and the exit code that fits."""
    try:
        return asyncio.run(work)
    except InvalidOption as error:
        fail(str(error), EXIT_USAGE)
    except CrewlineError as error:
        fail(str(error))
    except OutputClosed:
        raise typer.Exit(EXIT_FAILED) from None
    except UNAVAILABLE as error:
        why = str(error) or type(error).__name__
        fail(f"Redis at {redact(redis)} can't be used: {why}; check --redis (or CREWLINE_REDIS_URL)", EXIT_REDIS)
