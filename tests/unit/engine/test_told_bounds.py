"""How many jobs go in one call, as docstrings and documentation tell it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from crewline import Queue
from crewline.redis.scripts.values import MOST_BYTES, MOST_DEDUPLICATED, MOST_JOBS, MOST_OF_FLOW, MOST_REMOVED

ENGINE = Path(__file__).parents[3] / "docs/engine"
FLOWS, ADDING = ENGINE / "flows.md", ENGINE / "adding-jobs.md"


@pytest.mark.parametrize(
    ("told", "pattern", "most"),
    [
        (Queue.remove.__doc__, r"More than (\d+) go in several calls", MOST_REMOVED),
        (FLOWS.read_text(), r"more than (\d+) jobs goes in several calls", MOST_REMOVED),
        (Queue.add_flow.__doc__, r"of more than (\d+) jobs or \d+ kB, which go in parts", MOST_OF_FLOW),
        (Queue.add_flow.__doc__, r"of more than \d+ jobs or (\d+) kB, which go in parts", MOST_BYTES // 1000),
        (Queue.add_bulk.__doc__, r"Adds many jobs, up to (\d+) and", MOST_JOBS),
        (Queue.add_bulk.__doc__, r"Adds many jobs, up to \d+ and (\d+) kB a call", MOST_BYTES // 1000),
        (ADDING.read_text(), r"sends up to (\d+) jobs in each call", MOST_JOBS),
        (ADDING.read_text(), r"in each call to Redis \((\d+) where some have a", MOST_DEDUPLICATED),
        (ADDING.read_text(), r"and (\d+) kB of them; a larger job", MOST_BYTES // 1000),
    ],
)
def test_bounds_that_are_told_are_those_there_are(told: str, pattern: str, most: int) -> None:
    found = re.search(pattern, re.sub(r"\s+", " ", told))
    assert found and int(found[1]) == most
