"""Finds the handler that a command line or a JobQueue names: ``module:function``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crewline.errors import HandlerNotFound
from crewline.worker.handlers.fitness import name_of, unfit
from crewline.worker.handlers.routing import Router, router_of


def load_handler(spec: str, code_path: str | None = None) -> Callable[..., Any] | Router:
    """Imports a handler.

    Args:
        spec: ``module:function``; the function may be dotted (``module:obj.method``). A module alone stands for all
            the routes that its `on` decorators made.
        code_path: a folder to look in first.

    Raises:
        HandlerNotFound: it can't be imported (the message ends with the import's own error), or can be no handler.
    """
    module_name, colon, attribute = spec.partition(":")
    if module_name.endswith(".py"):
        file = Path(module_name)
        place = "" if str(file.parent) == "." else f", with --code-path {file.parent}"
        raise HandlerNotFound(
            f"handler {spec!r} names a file, where its module is wanted: "
            f"write {file.stem}:{attribute or 'handle'}{place}"
        )
    if not module_name or (colon and not attribute) or (not colon and "/" in spec):
        raise HandlerNotFound(
            f"handler {spec!r} must be written module:function, e.g. handlers:handle, or just module for its @on routes"
        )
    if code_path:
        try:
            found_folder = Path(code_path).is_dir()
        except OSError:
            # a name that the system takes for none
            found_folder = False
        if not found_folder:
            raise HandlerNotFound(f"handler {spec!r}: the code folder {code_path} does not exist")
        sys.path.insert(0, code_path)
    elif "" not in sys.path:
        sys.path.insert(0, "")
    try:
        target: Any = importlib.import_module(module_name)
    except SystemExit as error:
        # a worker would end with it, as if that were what it had been told to do
        raise HandlerNotFound(
            f"handler {spec!r} can't be imported: its module ends its program, by sys.exit({error.code!r}): put what is"
            ' only for a program of its own below: if __name__ == "__main__"'
        ) from error
    except Exception as error:
        # whatever the user's module raises while it is imported is the user's to read
        raise HandlerNotFound(f"handler {spec!r} can't be imported: {type(error).__name__}: {error}") from error
    found = _routes(spec, module_name) if not attribute else _attribute(spec, module_name, target, attribute)
    for each in found.routes.values() if isinstance(found, Router) else (found,):
        if wrong := unfit(each):
            raise HandlerNotFound(f"handler {spec!r}: {name_of(each)} {wrong}")
    return found


def _routes(spec: str, module_name: str) -> Router:
    router = router_of(module_name)
    if router is None:
        raise HandlerNotFound(
            f"handler {spec!r}: module {module_name!r} has no @on routes; name a function: {module_name}:handle"
        )
    return router


def _attribute(spec: str, module_name: str, target: Any, attribute: str) -> Callable[..., Any] | Router:
    for part in attribute.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            found = ", ".join(sorted(n for n in dir(target) if not n.startswith("_"))[:10]) or "nothing"
            raise HandlerNotFound(
                f"handler {spec!r} can't be imported: module {module_name!r} has no {part!r} (it has {found})"
            ) from None
    if isinstance(target, Router):
        return target
    if not callable(target):
        raise HandlerNotFound(f"handler {spec!r} is no function: it is {type(target).__name__}")
    return target  # type: ignore[no-any-return]
