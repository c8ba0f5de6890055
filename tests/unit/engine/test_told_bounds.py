"""How many jobs go in one call, as docstrings and documentation tell it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from crewline import Queue
from crewline.redis.scripts.values import MOST_JOBS, MOST_OF_FLOW, MOST_REMOVED

FLOWS = Path(__file__).parents[3] / "docs/engine/flows.md"


@pytest.mark.parametrize(
    ("told", "pattern", "most"),
    [
        (Queue.remove.__doc__, r"More than (\d+) go in several calls", MOST_REMOVED),
        (FLOWS.read_text(), r"more than (\d+) jobs goes in several calls", MOST_REMOVED),
        (Queue.add_flow.__doc__, r"of more than (\d+) jobs or 200 kB, which go in parts", MOST_OF_FLOW),
        (Queue.add_bulk.__doc__, r"Adds many jobs, up to (\d+) and", MOST_JOBS),
    ],
)
def test_bounds_that_are_told_are_those_there_are(told: str, pattern: str, most: int) -> None:
    found = re.search(pattern, re.sub(r"\s+", " ", told))
    assert found and int(found[1]) == most
