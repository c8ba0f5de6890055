"""What can be called, and is no handler all the same: every job would fail, so it is said before the first one."""

from __future__ import annotations

import functools
import inspect
from typing import Any


def unfit(handler: Any) -> str:
    """What is wrong with a handler, and the mend; '' if nothing is."""
    if inspect.isclass(handler):
        return "is a class, and no job comes to an object: name a function, or an object of it that can be called"
    plain = inspect.isroutine(handler) or isinstance(handler, functools.partial)
    call = handler if plain else type(handler).__call__
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        return "is a generator, of which nothing would run: return what the job comes to, and do not yield"
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):
        # one of C's, perhaps
        return ""
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            return f"needs {parameter.name!r} by its name, which no worker gives: give it a default"
    positional = [p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    if len(required) > 2:
        return f"must take (job) or (job, data), not {len(required)} arguments"
    if not positional and not any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values()):
        return "takes no job: let it take (job) or (job, data)"
    return ""


def name_of(handler: Any) -> str:
    return getattr(handler, "__qualname__", None) or repr(handler)
