"""Tells a person what happens and how long it will take, on stderr: stdout stays for answers."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from tests.cluster.errors import ClusterError
from tests.cluster.shell import tail

#: Where no terminal shows a bar, a long step prints a line this often.
LINE_EVERY_SECONDS = 30.0

console = Console(stderr=True, highlight=False)


def say(text: str) -> None:
    """One line for the person who waits."""
    console.print(f"[dim]cluster:[/dim] {text}", soft_wrap=True)


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Say what was done and how long it took, once it is done."""
    began = time.monotonic()
    yield
    say(f"{what} ({time.monotonic() - began:.1f} s)")


def run_long(
    title: str,
    argv: Sequence[str | Path],
    *,
    estimate_seconds: float,
    log: Path,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run a command that takes its time, its output in a log file, with its progress against an estimate shown.

    Raises ClusterError with the log's tail if the command fails. An interrupt ends the command too.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("w") as output:
        try:
            process = subprocess.Popen(
                [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, env=env
            )
        except FileNotFoundError:
            raise ClusterError(
                f"`{argv[0]}` is not installed: `python -m tests.cluster prepare` says what is"
            ) from None
        try:
            if console.is_terminal:
                _bar(process, title, estimate_seconds)
            else:
                _lines(process, title, estimate_seconds, began)
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode != 0:
        raise ClusterError(
            f"{title}: `{argv[0]}` ended with {process.returncode}; {log} ends:\n{tail(log.read_text())}"
        )
    say(f"{title}: done in {_clock(time.monotonic() - began)}")


def _bar(process: subprocess.Popen[bytes], title: str, estimate_seconds: float) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn(f"of about {_clock(estimate_seconds)}"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=estimate_seconds)
        while not _ended_within(process, 0.25):
            # An estimate is not a promise: the bar stops short of its end until the command really ended.
            bar.update(task, completed=min(bar.tasks[0].elapsed or 0.0, estimate_seconds * 0.99))


def _lines(process: subprocess.Popen[bytes], title: str, estimate_seconds: float, began: float) -> None:
    say(f"{title}: takes about {_clock(estimate_seconds)}")
    while not _ended_within(process, LINE_EVERY_SECONDS):
        say(f"{title}: {_clock(time.monotonic() - began)} of about {_clock(estimate_seconds)}")


def _ended_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
