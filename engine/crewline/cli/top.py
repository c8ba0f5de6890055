"""``crewline top``: all queues of a Redis, live."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crewline.cli.common import DEFAULT_PREFIX, DEFAULT_REDIS, JsonOption, PrefixOption, RedisOption, run
from crewline.cli.overview import Look, Overview
from crewline.cli.printing import printing, shown, tell, to_json
from crewline.cli.queues import queue_table
from crewline.cli.tables import Column, Table
from crewline.cli.usage import TIME, completed_from, one_of
from crewline.wire.text import counted

if TYPE_CHECKING:
    from rich.console import ConsoleRenderable
    from rich.text import Text

#: Ids of running jobs that are shown of a worker.
MOST_IDS = 3
#: Keys that sort: what they sort by.
SORTS = {"n": "name", "w": "waiting", "a": "active", "f": "failed", "d": "dead", "r": "rate"}


def top(
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.", callback=TIME)] = 1.0,
    sort: Annotated[
        str,
        typer.Option(
            help=f"Sort by {', '.join(SORTS.values())}.",
            callback=one_of(*SORTS.values()),
            autocompletion=completed_from(*SORTS.values()),
        ),
    ] = "waiting",
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show all queues and workers, live. Keys: n w a f d r sort, q quits.

    Example: [bold]crewline top --sort rate[/bold]
    """
    if as_json:
        tell(to_json(run(_look(redis, prefix), redis)))
        return
    try:
        run(_watch(redis, prefix, interval, sort, once), redis)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _look(redis: str, prefix: str) -> dict[str, Any]:
    """One picture, for programs."""
    async with Overview(redis, prefix) as overview:
        found = await overview.look()
    return {name: {**vars(look.counts), "ended": look.ended, "workers": look.workers} for name, look in found.items()}


async def _watch(redis: str, prefix: str, interval: float, sort: str, once: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    before: dict[str, int] = {}
    looked_at = time.monotonic()
    async with Overview(redis, prefix) as overview:
        width = console.width if console.is_terminal else None
        picture = _picture(await overview.look(), prefix, sort, before, 0.0, width)
        if once or width is None:
            with printing():
                console.print(picture, soft_wrap=True)
            return
        with _keys() as pressed, Live(picture, console=console, screen=True, auto_refresh=False) as live:
            while True:
                deadline = time.monotonic() + interval
                while time.monotonic() < deadline:
                    key = pressed()
                    if key == "q":
                        return
                    if key in SORTS:
                        sort = SORTS[key]
                        break
                    await asyncio.sleep(0.05)
                now = time.monotonic()
                picture = _picture(await overview.look(), prefix, sort, before, now - looked_at, console.width)
                with printing():
                    live.update(picture, refresh=True)
                looked_at = now


def _picture(
    found: dict[str, Look], prefix: str, sort: str, before: dict[str, int], seconds: float, width: int | None
) -> ConsoleRenderable:
    from rich.console import Group
    from rich.text import Text

    rates: dict[str, float] = {}
    for name, look in found.items():
        rates[name] = max(look.ended - before.get(name, look.ended), 0) / seconds if seconds else 0.0
        before[name] = look.ended

    def order(name: str) -> tuple[float, str]:
        if sort == "name":
            return (0, name)
        return (-(rates[name] if sort == "rate" else getattr(found[name].counts, sort, 0)), name)

    table = queue_table({name: found[name].counts for name in sorted(found, key=order)}, rates)
    told = shown(f"{counted(len(found), 'queue')} under {prefix!r}, sorted by {sort}; keys: n w a f d r sort, q quits")
    return Group(Text(told, "dim"), *table.lines(width), Text(""), *_workers(found, width))


def _workers(found: dict[str, Look], width: int | None) -> list[Text]:
    """The workers of all queues, with as many ids of running jobs as there is room for: none is cut."""
    lines: list[Text] = []
    for most in range(MOST_IDS, -1, -1):
        table = Table(
            [
                Column("worker"), Column("queue"), Column("state", rare=True), Column("busy", right=True),
                Column("slots", right=True), Column("settings", right=True, rare=True), Column("running", rare=True),
            ]
        )  # fmt: skip
        for name, look in found.items():
            for each in look.workers:
                told = (each.get("busy", ""), each.get("slots", ""), each.get("settings") or "")
                table.add(each.get("name", ""), name, _state(each), *told, _ids(each.get("running"), most))
        lines = table.lines(width)
        if width is None or max(line.cell_len for line in lines) <= width:
            break
    return lines


def _ids(running: object, most: int) -> str:
    """Ids of some jobs that run, whole, and how many more do."""
    ids = running if isinstance(running, list) else []
    if len(ids) <= most:
        return ", ".join(map(str, ids))
    return f"{', '.join(map(str, ids[:most]))} and {len(ids) - most} more" if most else ""


def _state(worker: dict[str, Any]) -> str:
    """Why a worker fetches nothing, as far as it is told to; '' if it fetches."""
    states = {"stopping": "stopping", "drain": "draining", "paused": "paused"}
    return next((state for told, state in states.items() if worker.get(told)), "")


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """Reads single keys without waiting for them, where there is a terminal."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield lambda: ""
        return
    import select
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin.fileno())
    try:
        yield lambda: sys.stdin.read(1) if select.select([sys.stdin], [], [], 0)[0] else ""
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
