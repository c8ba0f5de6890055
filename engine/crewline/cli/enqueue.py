"""``crewline enqueue``: add one job, or one a line from standard input."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from crewline.cli.common import (
    DEFAULT_PREFIX,
    DEFAULT_REDIS,
    EXIT_USAGE,
    JsonOption,
    PrefixOption,
    QueueOption,
    RedisOption,
    fail,
    run,
)
from crewline.errors import InvalidPayload
from crewline.queue.queue import Queue
from crewline.wire import jsonio

#: Lines that are read before they are sent.
CHUNK = 2000


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
    delay: Annotated[float, typer.Option(min=0, help="Seconds before it may run.")] = 0.0,
    priority: Annotated[int, typer.Option(min=0, help="0 runs first of all, then 1, 2, …")] = 0,
    attempts: Annotated[int, typer.Option(min=1, help="How often it may be tried.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Add a job, or many.

    Examples: [bold]crewline enqueue welcome '{"to": "a@example.com"}' -q emails[/bold], or
    [bold]crewline enqueue welcome -q emails < jobs.jsonl[/bold]
    """
    options: dict[str, Any] = {"delay": delay, "priority": priority, "attempts": attempts}
    if data is not None and data != "-":
        try:
            payload = jsonio.loads(data, "data")
        except InvalidPayload as error:
            fail(f'{error}: quote it for the shell, e.g. \'{{"to": "a@example.com"}}\'', EXIT_USAGE)
        ids = run(_add(queue, redis, prefix, [(name, payload, {**options, "job_id": job_id})]), redis)
    else:
        if job_id is not None:
            fail("--job-id names one job, and standard input may hold many: leave it out", EXIT_USAGE)
        if sys.stdin.isatty():
            fail(
                "give the job's data as the second argument, or one JSON document a line on standard input", EXIT_USAGE
            )
        ids = run(_add_lines(queue, redis, prefix, name, options), redis)
    if as_json:
        print(json.dumps({"queue": queue, "added": len(ids), "ids": ids[:1000]}))
    elif len(ids) == 1:
        print(f"added job {ids[0]} to {queue}")
    else:
        print(f"added {len(ids):,} jobs to {queue}")


async def _add(queue: str, redis: str, prefix: str, jobs: list[tuple[str, Any, dict[str, Any]]]) -> list[str]:
    async with Queue(queue, redis=redis, prefix=prefix) as target:
        return [job.id for job in await target.add_bulk(jobs)]


async def _add_lines(queue: str, redis: str, prefix: str, name: str, options: dict[str, Any]) -> list[str]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    # every line is checked before any is sent: a bad one adds nothing
    jobs: list[tuple[str, Any, dict[str, Any]]] = []
    for number, line in enumerate(sys.stdin, 1):
        if line.strip():
            jobs.append((name, jsonio.loads(line, f"line {number}"), options))
    ids: list[str] = []
    columns = (TextColumn("adding"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("adding", total=len(jobs))
        async with Queue(queue, redis=redis, prefix=prefix) as target:
            for start in range(0, len(jobs), CHUNK):
                added = await target.add_bulk(jobs[start : start + CHUNK])
                ids += [job.id for job in added]
                bar.update(task, completed=len(ids))
    return ids
