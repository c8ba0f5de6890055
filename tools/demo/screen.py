"""What the demo shows while the JobQueue works: its status, as `kubectl` would read it, and nothing from elsewhere.

On a terminal a live screen; else (a pipe, CI) one line every few seconds, and one at once when the replicas change.
"""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

PLAIN_LINE_SECONDS = 3.0
#: jobs/s is the mean over this window: shorter ones jump with each status write
RATE_WINDOW_SECONDS = 10.0
RUNNING_SHOWN = 8
PANEL_COLUMNS = 96


@dataclass(frozen=True)
class Snapshot:
    """The numbers of one JobQueue at one moment."""

    ready: int = 0
    desired: int = 0
    waiting: int = 0
    active: int = 0
    delayed: int = 0
    completed: int = 0
    failed: int = 0
    dead: int = 0
    running: tuple[tuple[str, int, int], ...] = ()
    decision: str = ""
    trouble: str = ""

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> "Snapshot":
        counts = status.get("counts", {})
        running = []
        for job in status.get("running", []):
            progress = job.get("progress")
            done, of = (progress.get("done", 0), progress.get("of", 0)) if isinstance(progress, Mapping) else (0, 0)
            running.append((f"{job.get('name', '')} {job.get('id', '')}", int(done), int(of)))
        decision = status.get("lastDecision", {})
        return cls(
            ready=status.get("readyReplicas", 0),
            desired=status.get("desiredReplicas", 0),
            waiting=counts.get("waiting", 0),
            active=counts.get("active", 0),
            delayed=counts.get("delayed", 0),
            completed=counts.get("completed", 0),
            failed=counts.get("failed", 0),
            dead=counts.get("dead", 0),
            running=tuple(running),
            decision=decision.get("reason", ""),
            trouble=_trouble(status),
        )

    @property
    def idle(self) -> bool:
        return self.waiting + self.active + self.delayed == 0


class Screen:
    """Context manager; `show(snapshot)` as often as one likes."""

    def __init__(self, console: Console, title: str, total: int) -> None:
        self._console, self._title, self._total = console, title, total
        self._started = time.monotonic()
        self._live = Live(console=console, auto_refresh=False, transient=False) if console.is_terminal else None
        self._last_line, self._last_state = 0.0, (-1, -1, "")
        self._done: deque[tuple[float, int]] = deque()

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, now: Snapshot) -> None:
        rate = self._rate(now.completed + now.failed)
        if self._live:
            self._live.update(self._panel(now, rate), refresh=True)
            return
        moment, state = time.monotonic(), (now.ready, now.desired, now.trouble)
        if moment - self._last_line >= PLAIN_LINE_SECONDS or state != self._last_state:
            self._last_line, self._last_state = moment, state
            self._console.print(
                f"{moment - self._started:5.1f}s  replicas {now.ready}/{now.desired}  waiting {now.waiting}  "
                f"active {now.active}  delayed {now.delayed}  completed {now.completed}  failed {now.failed}  "
                f"dead {now.dead}  {rate:.1f} jobs/s{'  ! ' if now.trouble else ''}{now.trouble}",
                highlight=False,
                soft_wrap=True,
            )

    def _rate(self, done: int) -> float:
        moment = time.monotonic()
        self._done.append((moment, done))
        while moment - self._done[0][0] > RATE_WINDOW_SECONDS:
            self._done.popleft()
        since, before = self._done[0]
        return (done - before) / (moment - since) if moment > since else 0.0

    def _panel(self, now: Snapshot, rate: float) -> RenderableType:
        finished = now.completed + now.failed
        numbers = Table.grid(padding=(0, 3))
        for _ in range(8):
            numbers.add_column(justify="right")
        heads = ("replicas", "waiting", "active", "delayed", "completed", "failed", "dead", "jobs/s")
        numbers.add_row(*(Text(head, style="dim") for head in heads))
        numbers.add_row(
            Text(f"{now.ready}/{now.desired}", style="bold cyan"),
            str(now.waiting),
            Text(str(now.active), style="bold" if now.active else ""),
            Text(str(now.delayed), style="yellow" if now.delayed else ""),
            Text(str(now.completed), style="green" if now.completed else ""),
            Text(str(now.failed), style="red" if now.failed else ""),
            Text(str(now.dead), style="red" if now.dead else ""),
            f"{rate:.1f}",
        )
        total = Table.grid(padding=(0, 1))
        total.add_row(
            ProgressBar(total=self._total, completed=finished, width=50), f"{finished} of {self._total} chunks"
        )
        running = Table.grid(padding=(0, 1))
        for name, done, of in now.running[:RUNNING_SHOWN]:
            running.add_row(
                Text(name, style="dim"), ProgressBar(total=of or 1, completed=done, width=30), f"{done}/{of}"
            )
        for _ in range(RUNNING_SHOWN - len(now.running)):
            running.add_row("", "", "")
        decision = Text(now.decision or "asleep: no jobs, no pods", style="italic", overflow="ellipsis", no_wrap=True)
        if now.trouble:
            decision = Text(now.trouble, style="bold red")
        seconds = int(time.monotonic() - self._started)
        title = f"{self._title}  {seconds // 60}:{seconds % 60:02d}"
        shown = Group(numbers, "", total, "", running, "", decision)
        return Panel(shown, title=title, title_align="left", width=min(PANEL_COLUMNS, self._console.width))


def _trouble(status: Mapping[str, Any]) -> str:
    """What the operator says is wrong, if anything."""
    degraded = (c for c in status.get("conditions", []) if c["type"] == "Degraded" and c["status"] == "True")
    return next((c.get("message", c["reason"]) for c in degraded), "")
