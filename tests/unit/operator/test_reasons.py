"""Every reason that the operator gives, in a condition or an Event, is in the one table of docs/jobqueue.md."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crewline_operator
import pytest

DOCS = Path(__file__).resolve().parents[3] / "docs" / "jobqueue.md"
#: Where each of these takes its reason.
POSITION = {"Condition": 2, "Fault": 0, "Note": 1, "Unreadable": 0}
#: metav1.Condition's own limits.
REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?")


def modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(crewline_operator.__path__, "crewline_operator."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def texts(node: ast.expr, module: Any) -> set[str]:
    """What an expression may be, as far as it is written there; what another one was made with is found there."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return texts(node.body, module) | texts(node.orelse, module)
    if isinstance(node, ast.Name):
        named = getattr(module, node.id, None)
        return {named} if isinstance(named, str) else set()
    return set()


def given() -> dict[str, str]:
    """Reason -> a module that gives it."""
    found: dict[str, str] = {}
    for module in modules():
        assert module.__file__ is not None
        tree = ast.parse(Path(module.__file__).read_text())
        # A reason that is chosen first, and given by its name then.
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and [getattr(each, "id", "") for each in node.targets] == ["reason"]:
                found |= dict.fromkeys(filter(REASON.fullmatch, texts(node.value, module)), module.__name__)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in POSITION:
                position = POSITION[node.func.id]
                if len(node.args) > position:
                    found |= dict.fromkeys(texts(node.args[position], module), module.__name__)
    return found


def told() -> set[str]:
    section = DOCS.read_text().partition("\n## Reasons\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


GIVEN = given()


def test_the_code_gives_reasons_of_all_kinds() -> None:
    known = {"ScaledToZero", "RollingOut", "RedisFull", "NeverRuns", "RedisRecovered", "ScaledUp", "PodsRefused"}
    assert known <= GIVEN.keys()


@pytest.mark.parametrize("reason", sorted(GIVEN))
def test_a_reason_is_one_that_kubernetes_takes_and_is_documented(reason: str) -> None:
    assert REASON.fullmatch(reason) and reason[0].isupper() and len(reason) <= 1024
    assert reason in told(), f"{reason} of {GIVEN[reason]} is missing from the table in {DOCS.name}"


def test_no_reason_is_documented_that_nothing_gives() -> None:
    assert told() <= GIVEN.keys()
