"""Finds the handler that a command line or a JobQueue names: ``module:function``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crewline.errors import HandlerNotFound


def load_handler(spec: str, code_path: str | None = None) -> Callable[[Any], Any]:
    """Imports a handler.

    Args:
        spec: ``module:function``; the function may be dotted (``module:obj.method``).
        code_path: a folder to look in first.

    Raises:
        HandlerNotFound: the message ends with the import's own error.
    """
    module_name, colon, attribute = spec.partition(":")
    if not colon or not module_name or not attribute:
        raise HandlerNotFound(f"handler {spec!r} must be written module:function, e.g. handlers:handle")
    if code_path:
        if not Path(code_path).is_dir():
            raise HandlerNotFound(f"handler {spec!r}: the code folder {code_path} does not exist")
        sys.path.insert(0, code_path)
    elif "" not in sys.path:
        sys.path.insert(0, "")
    try:
        target: Any = importlib.import_module(module_name)
    except Exception as error:
        # whatever the user's module raises while it is imported is the user's to read
        raise HandlerNotFound(f"handler {spec!r} can't be imported: {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            found = ", ".join(sorted(n for n in vars(target) if not n.startswith("_"))[:10]) or "nothing"
            raise HandlerNotFound(
                f"handler {spec!r} can't be imported: module {module_name!r} has no {part!r} (it has {found})"
            ) from None
    if not callable(target):
        raise HandlerNotFound(f"handler {spec!r} is no function: it is {type(target).__name__}")
    return target  # type: ignore[no-any-return]
