"""``crewline enqueue``: add one job, or one a line from standard input."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated, Any

import typer

from crewline.cli.common import (
    DEFAULT_PREFIX,
    DEFAULT_REDIS,
    JsonOption,
    KeepCompletedOption,
    KeepFailedOption,
    PrefixOption,
    QueueOption,
    RedisOption,
    read_keep,
    run,
)
from crewline.cli.opening import is_there, similar_names
from crewline.cli.printing import complain, say, to_json
from crewline.cli.usage import EXIT_USAGE, TIME, fail
from crewline.errors import InvalidOption, InvalidPayload
from crewline.queue.queue import Queue
from crewline.redis.connection import UNAVAILABLE
from crewline.wire import jsonio
from crewline.wire.options import encode_shape
from crewline.wire.text import counted

#: Lines that are read before they are sent.
CHUNK = 2000

#: Of each job its id, and whether it was added.
Ids = list[tuple[str, bool]]


def enqueue(
    name: Annotated[str, typer.Argument(help="What kind of jobs they are.", show_default=False)],
    data: Annotated[
        str | None, typer.Argument(help="The job's data as JSON; left out or '-': one job a line of standard input.")
    ] = None,
    *,
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    job_id: Annotated[str | None, typer.Option(help="An id of your own; a known one adds nothing.")] = None,
    delay: Annotated[float, typer.Option(min=0, help="Seconds before it may run.", callback=TIME)] = 0.0,
    priority: Annotated[int, typer.Option(min=0, help="0 runs first of all, then 1, 2 and so on.")] = 0,
    attempts: Annotated[
        int | None,
        typer.Option(min=1, help="How often it may be tried.", show_default="3, or as the queue's settings say"),
    ] = None,
    keep_completed: KeepCompletedOption = None,
    keep_failed: KeepFailedOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a job, or many.

    Examples: [bold]crewline enqueue welcome '{"to": "a@example.com"}' -q emails[/bold], or
    [bold]crewline enqueue welcome -q emails < jobs.jsonl[/bold]
    """
    options: dict[str, Any] = {"delay": delay, "priority": priority, "attempts": attempts}
    options["remove_on_complete"] = read_keep(keep_completed)
    options["remove_on_fail"] = read_keep(keep_failed)
    # without the place in our code that a warning of Python's would tell
    warnings.showwarning = lambda message, *_, **__: complain(str(message))
    if data is not None and data != "-":
        try:
            payload = _read(data, "data")
        except InvalidPayload as error:
            fail(f'{error}: quote it for the shell, e.g. \'{{"to": "a@example.com"}}\'', EXIT_USAGE)
        jobs = run(_add(queue, redis, prefix, name, payload, {**options, "job_id": job_id}), redis)
    else:
        if job_id is not None:
            fail("--job-id names one job, and standard input may hold many: leave it out", EXIT_USAGE)
        if sys.stdin is None or sys.stdin.isatty():
            fail(
                "give the job's data as the second argument, or one JSON document a line on standard input", EXIT_USAGE
            )
        try:
            # of all lines alike: it is no line's fault
            encode_shape(name, **options)
        except InvalidOption as error:
            fail(str(error), EXIT_USAGE)
        jobs = run(_add_lines(queue, redis, prefix, name, options), redis)
    if as_json:
        ids = [job_id for job_id, _ in jobs]
        known = [job_id for job_id, added in jobs if not added]
        told = {"queue": queue, "added": len(ids) - len(known), "ids": ids[:1000], "existed": known[:1000]}
        say(to_json(told))
    elif len(jobs) == 1:
        job_id, added = jobs[0]
        say(f"added job {job_id} to {queue}" if added else f"job {job_id} exists already: nothing was added")
    else:
        say(f"added {counted(len(jobs), 'job')} to {queue}")


def _read(text: str | bytes, what: str) -> Any:
    """A job's data; raises InvalidPayload for what is not JSON, and for JSON that no job may have."""
    payload = jsonio.loads(text, what)
    with warnings.catch_warnings(action="ignore"):
        jsonio.dumps(payload, what)
    return payload


async def _tell_of_new(queue: Queue) -> None:
    """A first job makes its queue; where that may be a slip in the name, it is said."""
    if not await is_there(queue) and (similar := await similar_names(queue)):
        complain(f"queue {queue.name!r} is a new one; did you mean {' or '.join(similar)}?")


async def _add(queue: str, redis: str, prefix: str, name: str, data: Any, options: dict[str, Any]) -> Ids:
    async with Queue(queue, redis=redis, prefix=prefix) as target:
        await _tell_of_new(target)
        job = await target.add(name, data, **options)
        return [(job.id, job.added)]


async def _add_lines(queue: str, redis: str, prefix: str, name: str, options: dict[str, Any]) -> Ids:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    # every line is checked before any is sent: a bad one adds nothing
    jobs: list[tuple[str, Any, dict[str, Any]]] = []
    for number, line in enumerate(sys.stdin.buffer, 1):
        if line.strip():
            jobs.append((name, _read(line, f"line {number}"), options))
    ids: Ids = []
    columns = (TextColumn("adding"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("adding", total=len(jobs))
        async with Queue(queue, redis=redis, prefix=prefix) as target:
            await _tell_of_new(target)
            for start in range(0, len(jobs), CHUNK):
                try:
                    added = await target.add_bulk(jobs[start : start + CHUNK])
                except UNAVAILABLE:
                    complain(f"the first {start:,} of {len(jobs):,} jobs were added, maybe more of the next {CHUNK:,}")
                    raise
                ids += [(job.id, job.added) for job in added]
                bar.update(task, completed=len(ids))
    return ids
