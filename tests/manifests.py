"""All JobQueues and ScheduledJobs that a reader is shown: on README, on the pages, among the examples."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
KINDS = ("JobQueue", "ScheduledJob")


@dataclass(frozen=True)
class Shown:
    """An object, and where it is shown."""

    place: str
    obj: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.obj["kind"])

    @property
    def name(self) -> str:
        return str(self.obj["metadata"]["name"])


def on_page(page: Path) -> list[Shown]:
    """The objects on a page; every ``yaml`` block there is made of them."""
    return [
        Shown(page.name, document)
        for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        for document in yaml.safe_load_all(block)
    ]


def in_examples() -> Iterator[Shown]:
    """Those among the examples, beside what else is there (a Redis)."""
    for file in sorted((ROOT / "examples").rglob("*.yaml")):
        for document in yaml.safe_load_all(file.read_text()):
            if document["kind"] in KINDS:
                yield Shown(str(file.relative_to(ROOT)), document)


def shown() -> list[Shown]:
    """All of them."""
    return [*(each for page in PAGES for each in on_page(page)), *in_examples()]
