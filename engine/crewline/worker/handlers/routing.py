"""Routes jobs to handlers by their name.

    from crewline import on

    @on("welcome")
    async def welcome(job): ...

    @on()                       # every other name
    def rest(job): ...

`crewline worker handlers` (a module without a function) serves all routes of that module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

from crewline.errors import HandlerNotFound, InvalidOption
from crewline.wire.checks import check_callable, check_string

F = TypeVar("F", bound=Callable[..., Any])


class Router:
    """Handlers by job name; a worker takes it as its handler."""

    def __init__(self) -> None:
        self.routes: dict[str | None, Callable[..., Any]] = {}

    def on(self, *names: str) -> Callable[[F], F]:
        """Registers a handler for jobs of these names; without any, for all that no other route takes."""

        for given in names:
            check_string(given, "job name", 'write @on("name"), or @on() for every other name')

        def register(handler: F) -> F:
            check_callable(handler, "handler")
            for name in names or (None,):
                if name in self.routes:
                    raise InvalidOption(f"two handlers for job name {name!r}: give each name one")
                self.routes[name] = handler
            return handler

        return register

    def find(self, name: str) -> Callable[..., Any]:
        """The handler for a job's name; HandlerNotFound names those there are."""
        handler = self.routes.get(check_string(name, "job name")) or self.routes.get(None)
        if handler is None:
            known = ", ".join(sorted(str(route) for route in self.routes)) or "none"
            raise HandlerNotFound(f"no handler for jobs named {name!r} (there are: {known}): add @on({name!r})")
        return handler


_by_module: dict[str, Router] = {}


def on(*names: str) -> Callable[[F], F]:
    """Registers a handler in the router of the module it is written in."""
    module = sys._getframe(1).f_globals["__name__"]
    return _by_module.setdefault(module, Router()).on(*names)


def router_of(module: str) -> Router | None:
    """The router that a module's `on` decorators filled, or None."""
    return _by_module.get(module)
