"""How a child finds a handler."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from crewline.errors import InvalidOption
from crewline.worker.processes import mainfile


def importable(call: Callable[..., Any]) -> bool:
    """Whether a child process can find a handler; see `spec_of`."""
    try:
        spec_of(call)
    except InvalidOption:
        return False
    return True


def spec_of(call: Callable[..., Any]) -> str:
    """The ``module:function`` by which a child finds a handler.

    Its module must hold it, under its own name, at the top level or in a class there. In the program's main file it is
    found only if the file says what a child must not run; see mainfile.py.

    Raises:
        InvalidOption: it can't be found so.
    """
    module, name = getattr(call, "__module__", None), getattr(call, "__qualname__", "")
    with contextlib.suppress(AttributeError, KeyError):
        found: Any = sys.modules[module or ""]
        for part in name.split("."):
            found = getattr(found, part)
        if module == "__main__":
            module = mainfile.name_of_main()
        if found is call and module:
            return f"{module}:{name}"
    raise InvalidOption(
        f"handler {name or call!r} can't run in a process: put it at the top level of a module that can be imported, or"
        " of a main file that starts its program below: if __name__ == '__main__'"
    )
