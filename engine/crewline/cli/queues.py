"""``crewline queues``, ``pause``, ``resume``, ``clean``, ``events``: queues as a whole."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from crewline.cli.common import DEFAULT_PREFIX, DEFAULT_REDIS, JsonOption, PrefixOption, QueueOption, RedisOption, run
from crewline.cli.opening import CreateOption, opened
from crewline.cli.overview import Overview, keeps_letters
from crewline.cli.printing import cell, say, shown, tell, to_json
from crewline.cli.tables import Column, Table, draw
from crewline.cli.usage import TIME, checked, completed_from, one_of
from crewline.queue.events import check_event_id
from crewline.queue.housekeeping import CLEANABLE
from crewline.queue.observing import Metrics
from crewline.wire.text import counted

#: Characters of an event on a terminal, which may hold a job's whole result.
MOST_OF_EVENT = 400


def queues(
    redis: RedisOption = DEFAULT_REDIS, prefix: PrefixOption = DEFAULT_PREFIX, as_json: JsonOption = False
) -> None:
    """List the queues of a Redis and how many jobs they have in each state.

    Example: [bold]crewline queues[/bold]
    """

    async def read() -> dict[str, Metrics]:
        async with Overview(redis, prefix) as overview:
            return {name: look.counts for name, look in (await overview.look()).items()}

    found = run(read(), redis)
    if as_json:
        tell(to_json({name: vars(counts) for name, counts in found.items()}))
        return
    if not found:
        tell(f"no queues under prefix {prefix!r}")
        return
    draw(queue_table(found))


def queue_table(found: dict[str, Metrics], rates: dict[str, float] | None = None) -> Table:
    """The table that ``queues`` and, with how many jobs end a second, ``top`` show.

    Queues of dead letters come last: what waits there is no work.
    """
    from rich.text import Text

    states = ("waiting", "active", "delayed", "completed", "failed", "dead")
    columns = [Column("queue"), *(Column(state, right=True) for state in states)]
    table = Table(columns if rates is None else [*columns, Column("jobs/s", right=True)])
    style = {"failed": "red", "dead": "red", "active": "green"}
    for name in sorted(found, key=lambda name: keeps_letters(name, found)):
        counts = found[name]
        title = cell(name)
        if keeps_letters(name, found):
            title.stylize("dim")
        if counts.paused:
            title.append(" (paused)", "yellow")
        cells = [(getattr(counts, state), style.get(state, "")) for state in states]
        told = [Text(f"{count:,}", style=style if count else "") for count, style in cells]
        table.add(title, *told, *([] if rates is None else [f"{rates[name]:,.1f}"]))
    return table


def pause(
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    create: CreateOption = False,
    as_json: JsonOption = False,
) -> None:
    """Stop all workers of a queue from fetching; what runs goes on.

    Example: [bold]crewline pause -q emails[/bold]
    """

    async def work() -> bool:
        async with opened(queue, redis, prefix, create=create) as target:
            return await target.pause()

    changed = run(work(), redis)
    if as_json:
        say(to_json({"queue": queue, "paused": True, "changed": changed}))
    else:
        say(f"paused {queue}" if changed else f"{queue} was paused already")


def resume(
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    as_json: JsonOption = False,
) -> None:
    """Let the workers of a paused queue fetch again.

    Example: [bold]crewline resume -q emails[/bold]
    """

    async def work() -> bool:
        async with opened(queue, redis, prefix) as target:
            return await target.resume()

    changed = run(work(), redis)
    if as_json:
        say(to_json({"queue": queue, "paused": False, "changed": changed}))
    else:
        say(f"resumed {queue}" if changed else f"{queue} was not paused")


def clean(
    state: Annotated[
        str,
        typer.Argument(
            help=f"One of {', '.join(CLEANABLE)}.",
            show_default=False,
            callback=one_of(*CLEANABLE),
            autocompletion=completed_from(*CLEANABLE),
        ),
    ],
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    older_than: Annotated[
        float, typer.Option(min=0, help="Seconds since they ended, or were added.", callback=TIME)
    ] = 0.0,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.", show_default="all")] = None,
    as_json: JsonOption = False,
) -> None:
    """Delete jobs of one state; those that a worker holds stay.

    Example: [bold]crewline clean failed -q emails --older-than 86400[/bold]
    """

    async def work() -> list[str]:
        async with opened(queue, redis, prefix) as target:
            return await target.clean(state, older_than=older_than, limit=limit)

    ids = run(work(), redis)
    say(to_json({"queue": queue, "deleted": len(ids)}) if as_json else f"deleted {counted(len(ids), f'{state} job')}")


def events(
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    after: Annotated[
        str | None,
        typer.Option(
            help="An entry's id to go on after; 0 for all that is kept.",
            show_default="now",
            callback=checked(check_event_id),
        ),
    ] = None,
    only: Annotated[list[str] | None, typer.Option("--only", help="Only these events; may be repeated.")] = None,
    create: CreateOption = False,
    as_json: JsonOption = False,
) -> None:
    """Follow what happens in a queue, until Ctrl-C.

    Example: [bold]crewline events -q emails --only failed --only completed[/bold]
    """

    async def work() -> None:
        async with opened(queue, redis, prefix, create=create) as target:
            await target.metrics()  # an unreachable Redis is said at once, not waited for
            async for event in target.events(after):
                if only and event.name not in only:
                    continue
                if as_json:
                    tell(to_json({"id": event.id, "event": event.name, "jobId": event.job_id, **event.fields}))
                else:
                    more = " ".join(f"{key}={value}" for key, value in event.fields.items())
                    line = shown(f"{event.id}  {event.name:16} {event.job_id:12} {more}")
                    tell(line[:MOST_OF_EVENT] if sys.stdout.isatty() else line)

    try:
        run(work(), redis)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
