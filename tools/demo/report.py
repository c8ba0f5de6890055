"""The demo's last screen: the answer and whether it is right, the dead letters, the times, and what to try next."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tools.demo.answer import Answer
from tools.demo.work import Letter, Times

TOP_PATHS = 8


def show_answer(console: Console, found: Answer, wrong: list[str]) -> None:
    """Requests by status and the top paths, and the result of the check against the files."""
    console.print()
    console.rule(f"{found.requests:,} requests", align="left", style="cyan")
    both = Table.grid(padding=(0, 6))
    both.add_row(
        _counts("status", sorted(found.status.items())),
        _counts("path", found.paths.most_common(TOP_PATHS)),
    )
    console.print(both)
    if not wrong:
        console.print("check: the jobs' answer equals a direct count of the same files", style="green")
        return
    console.print("check FAILED: the jobs' answer is not what a direct count of the same files gives", style="bold red")
    for sentence in wrong:
        console.print(f"  {sentence}", style="red", highlight=False)


def show_letters(console: Console, letters: Iterable[Letter]) -> None:
    """The jobs that failed for good, with reason and number of attempts."""
    console.print()
    console.rule("dead letters", align="left", style="cyan")
    table = Table.grid(padding=(0, 3))
    for letter in letters:
        table.add_row(letter.chunk, Text(f"{letter.attempts} attempts", style="dim"), letter.reason)
    console.print(table)


def show_schedule(console: Console, status: Mapping[str, Any]) -> None:
    """What the ScheduledJob did meanwhile: it is due at each full minute, so it may not have run yet."""
    console.print()
    console.rule("scheduledjob/digest", align="left", style="cyan")
    last, result = status.get("lastScheduleTime"), status.get("lastResult", {}).get("state", "not ended yet")
    ran = f"last run {last}, {result}" if last else "not due yet"
    console.print(f"{ran}; next run {status.get('nextScheduleTime')}", highlight=False)


def show_times(console: Console, times: Times, *, cluster_seconds: float, install_seconds: float, total: float) -> None:
    """What took how long, in seconds."""
    console.print()
    console.rule("times", align="left", style="cyan")
    table = Table.grid(padding=(0, 3))
    table.add_column(justify="right")
    added = times.added
    for seconds, what in (
        (cluster_seconds, "Kubernetes ready"),
        (install_seconds, "images built and loaded, chart, Redis and example installed"),
        (times.replicas_patched - added, "first job added -> the Deployment's replicas patched, from zero"),
        (times.first_completed - added, "first job added -> first job completed, as the status shows it"),
        (times.all_finished - added, "first job added -> every job completed or dead"),
        (times.at_zero - added, "first job added -> asleep at zero again"),
        (total, "the whole of `make demo`, set-up included"),
    ):
        table.add_row(f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s", what)
    console.print(table)


def show_next(console: Console, commands: Iterable[str]) -> None:
    """Commands to paste, one a line."""
    console.print()
    console.rule("next", align="left", style="cyan")
    for command in commands:
        # Neither wrapped nor coloured: what is copied must run.
        console.print(f"  {command}", highlight=False, soft_wrap=True, markup=False)


def _counts(head: str, rows: Iterable[tuple[str, int]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column(head)
    table.add_column("requests", justify="right")
    for key, count in rows:
        table.add_row(key, f"{count:,}")
    return table
