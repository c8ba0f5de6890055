"""Commands that another extra of this package brings.

They are looked for when they are called, and know their options themselves: a worker's start pays nothing for them.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

import typer

from crewline.cli.usage import fail

#: What such a command is told is for it alone to read, `--help` too.
PASSED_ON: dict[str, Any] = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


def simulate(context: typer.Context) -> None:
    """Try a JobQueue's scaling on a recorded load, without a cluster: waiting times, costs, a picture."""
    _call("simulate", "operator", context.args)


def _call(name: str, extra: str, arguments: list[str]) -> None:
    """Run the command `name`, which comes with `extra`."""
    try:
        (found,) = entry_points(group="crewline.commands", name=name)
        run = found.load()
    except (ValueError, ImportError):
        fail(f"{name} is not installed: pip install 'crewline[{extra}]' brings it")
    try:
        code = run(arguments, prog=f"crewline {name}")
    except SystemExit as end:
        code = end.code
    raise typer.Exit(code)
