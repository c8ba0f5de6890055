"""What the commands share: their common options, and how errors end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from crewline.errors import CrewlineError, InvalidOption
from crewline.queue.store import DEFAULT_PREFIX, DEFAULT_REDIS
from crewline.redis.connection import UNAVAILABLE, redact

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
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

__all__ = ["DEFAULT_PREFIX", "DEFAULT_REDIS"]


def fail(message: str, code: int = EXIT_FAILED) -> NoReturn:
    """Says what is wrong and ends."""
    print(f"crewline: {message}", file=sys.stderr)
    raise typer.Exit(code)


def run(work: Coroutine[Any, Any, T], redis: str) -> T:
    """Runs a command's work; errors end as one sentence and the exit code that fits."""
    try:
        return asyncio.run(work)
    except InvalidOption as error:
        fail(str(error), EXIT_USAGE)
    except CrewlineError as error:
        fail(str(error))
    except UNAVAILABLE as error:
        fail(f"Redis at {redact(redis)} can't be used: {error}; check --redis (or CREWLINE_REDIS_URL)", EXIT_REDIS)
