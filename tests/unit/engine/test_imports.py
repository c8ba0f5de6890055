"""What the engine imports from outside. Which way its own imports point, the contracts in pyproject.toml say."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[3] / "engine" / "crewline"

#: What the engine may import from outside, beside the standard library and itself.
ALLOWED = {"redis", "hiredis", "cronsim", "typer", "rich", "uvloop", "pydantic", "prometheus_client", "opentelemetry",
           "watchfiles"}  # fmt: skip
MODULES = sorted(ENGINE.rglob("*.py"))


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ENGINE)))
def test_the_engine_imports_neither_operator_nor_kubernetes(path: Path) -> None:
    import sys

    foreign = {name.split(".")[0] for name in _imports(path)} - set(sys.stdlib_module_names) - {"crewline"}
    assert foreign <= ALLOWED


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ENGINE)))
def test_only_the_command_line_draws_on_terminals(path: Path) -> None:
    if path.relative_to(ENGINE).parts[0] != "cli":
        assert not _imports(path) & {"typer", "rich"}
