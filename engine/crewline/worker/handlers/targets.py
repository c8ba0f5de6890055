"""What a worker calls for a job: which handler, how it runs, and what it is given."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from crewline.errors import InvalidOption, Reject
from crewline.queue.job import Job
from crewline.wire.checks import check_callable, check_choice
from crewline.worker.handlers.fitness import name_of, unfit
from crewline.worker.handlers.routing import Router

Execution = Literal["async", "thread", "process"]
Handler = Callable[..., Any] | Router


@dataclass(frozen=True)
class Target:
    """One handler, looked at once.

    Attributes:
        call: the function; it has a hash.
        execution: where it runs.
        validate: turns a job's data into the handler's second argument; None if it takes the job alone.
    """

    call: Callable[..., Any]
    execution: Execution
    validate: Callable[[Any], Any] | None

    def arguments(self, job: Any) -> tuple[Any, ...]:
        """What the handler is called with; raises Reject for data that is not of its type."""
        return (job,) if self.validate is None else (job, self.validate(job.data))


class Targets:
    """Finds the target of each job.

    Args:
        handler: a function, or a Router.
        execution: how plain functions run: ``thread`` (the default) or ``process``; ``async def`` ones run on the loop.

    Raises:
        InvalidOption: a handler can't run that way, or takes arguments that no worker gives.
    """

    def __init__(self, handler: Handler, execution: Execution | None) -> None:
        self._execution = execution if execution is None else check_choice(execution, "execution", get_args(Execution))
        self._router = handler if isinstance(handler, Router) else None
        # by identity, which lasts as long as the target: a callable object need not have a hash
        self._known: dict[int, tuple[Callable[..., Any], Target]] = {}
        if self._router is None:
            assert not isinstance(handler, Router)
            self._only: Target | None = self._examine(handler)
        else:
            self._only = None
            if not self._router.routes:
                raise InvalidOption("the router has no routes: decorate handlers with @on(name)")
            for each in self._router.routes.values():
                self._examine(each)

    def all(self) -> list[Target]:
        return [target for _, target in self._known.values()]

    def find(self, job: Job) -> Target:
        """The target of a job; HandlerNotFound if no route takes its name, InvalidOption if that can't run so."""
        if self._only is not None:
            return self._only
        assert self._router is not None
        # a route may have come since
        return self._examine(self._router.find(job.name))

    def _examine(self, handler: Callable[..., Any]) -> Target:
        if id(handler) not in self._known:
            check_callable(handler, "handler", "a function that takes a job, or a Router")
            if wrong := unfit(handler):
                raise InvalidOption(f"handler {name_of(handler)} {wrong}")
            self._known[id(handler)] = (
                handler,
                Target(_hashable(handler), self._execution_of(handler), _validator(handler)),
            )
        return self._known[id(handler)][1]

    def _execution_of(self, handler: Callable[..., Any]) -> Execution:
        plain = inspect.isroutine(handler) or isinstance(handler, functools.partial)
        call = handler if plain else getattr(handler, "__call__", None)  # noqa: B004
        if inspect.iscoroutinefunction(call):
            if self._execution in ("thread", "process"):
                raise InvalidOption(
                    f"execution {self._execution!r} needs plain `def` handlers, and {name_of(handler)} is `async def`: "
                    "leave execution out"
                )
            return "async"
        return "process" if self._execution == "process" else "thread"


def _hashable(handler: Callable[..., Any]) -> Callable[..., Any]:
    try:
        hash(handler)
    except TypeError:
        return functools.partial(handler)
    return handler


def _annotated(handler: Any) -> Any:
    """What bears the annotations of a handler's parameters."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler if inspect.isroutine(handler) else type(handler).__call__


def _validator(handler: Callable[..., Any]) -> Callable[[Any], Any] | None:
    """How a job's data becomes the handler's second parameter, by that parameter's annotation."""
    try:
        parameters = list(inspect.signature(handler).parameters.values())
    except (TypeError, ValueError):
        return None
    required = [
        p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    if len(required) < 2:
        return None
    try:
        wanted = get_type_hints(_annotated(handler)).get(required[1].name, Any)
    except Exception as error:
        # an annotation in quotes may raise anything
        raise InvalidOption(f"handler {name_of(handler)}: its annotation can't be read: {error}") from None
    if wanted is Any:
        return lambda data: data
    try:
        from pydantic import PydanticUserError, TypeAdapter, ValidationError
    except ImportError:
        raise InvalidOption(
            f"handler {name_of(handler)} wants its data as {wanted!r}, which needs pydantic: install crewline[typed]"
        ) from None
    try:
        adapter = TypeAdapter(wanted)
    except PydanticUserError as error:
        raise InvalidOption(f"handler {name_of(handler)} wants its data as {wanted!r}: {error.message}") from None

    def validate(data: Any) -> Any:
        try:
            return adapter.validate_python(data)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"]) or "data"
            more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
            # the same data fails again: no retry
            raise Reject(f"invalid data: {place}: {first['msg']}{more}") from None

    return validate
