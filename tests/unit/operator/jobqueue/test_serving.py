"""Whoever looks for something in a queue looks in the one that is served."""

from __future__ import annotations

import ast
from pathlib import Path

import crewline_operator
from crewline_operator.jobqueue.serving import serving

from tests.unit.operator.factories import jobqueue_object

ROOT = Path(crewline_operator.__file__).parent
#: Those that deal with what a spec names by itself: the move, and a spec that is in no cluster.
OF_THE_SPEC = {"jobqueue/move.py", "jobqueue/observe.py", "jobqueue/serving.py", "simulate/manifest.py"}


def test_a_jobqueue_is_read_with_the_queue_that_its_status_tells() -> None:
    obj = jobqueue_object(queue="new")
    assert serving(obj).queue == "new"
    obj["status"] = {"served": {"queue": "emails", "redis": {"url": "redis://old:6379/0", "prefix": "old"}}}
    served = serving(obj)
    assert (served.queue, served.prefix, served.redis.url) == ("emails", "old", "redis://old:6379/0")


def test_nobody_else_reads_a_spec_as_it_is() -> None:
    readers = set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and any(each.name == "parse_jobqueue" for each in node.names):
                readers.add(path.relative_to(ROOT).as_posix())
    assert readers == OF_THE_SPEC
