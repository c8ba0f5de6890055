"""The rows of a run as a table to read and as JSON to keep."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from redis import Redis

from tests.chaos.driver import Row
from tests.chaos.scene import Form

DOCS = Path(__file__).parents[2] / "docs"
#: The rows of the run that docs/reliability.md shows.
ROWS = DOCS / "reliability.json"

COLUMNS = (
    ("fault", "fault"), ("jobs", "jobs"), ("strikes", "strikes"), ("lost", "lost"), ("twice", "handled twice"),
    ("begun_again", "begun again"), ("fenced", "fenced off"), ("recover_seconds", "recovers in s, at worst"),
    ("fill_seconds", "free slots filled in s, at worst"), ("longer", "times as long as undisturbed"),
)  # fmt: skip


def table(rows: list[Row]) -> str:
    """A Markdown table; reads well in a terminal too."""
    shown = [column for column in COLUMNS if any(getattr(row, column[0]) is not None for row in rows)]
    cells = [[title for _, title in shown]]
    cells += [["" if (value := getattr(row, name)) is None else str(value) for name, _ in shown] for row in rows]
    widths = [max(len(line[n]) for line in cells) for n in range(len(shown))]
    lines = ["| " + " | ".join(text.ljust(widths[n]) for n, text in enumerate(line)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write(path: Path, rows: list[Row], form: Form, seed: int, redis_url: str) -> None:
    """Writes the rows and what they were made with."""
    path.parent.mkdir(parents=True, exist_ok=True)
    client = Redis.from_url(redis_url)
    server: Any = client.info("server")
    client.close()
    made_with = {
        "form": asdict(form), "seed": seed, "cores": os.cpu_count(), "python": sys.version.split()[0],
        "machine": f"{platform.system()} {platform.machine()}", "redis": server["redis_version"],
        "redis-py": version("redis"),
    }  # fmt: skip
    path.write_text(json.dumps({"made_with": made_with, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")


def read(path: Path) -> list[Row]:
    """The rows that `write` wrote."""
    return [Row(**row) for row in json.loads(path.read_text())["rows"]]


def page() -> str:
    """docs/reliability.md."""
    return (DOCS / "reliability.md").read_text()
