"""What a handler raises that is no ordinary error: `sys.exit()`, KeyboardInterrupt, a CancelledError of its own.

Such an exception passes every ``except Exception`` on its way and ended the whole worker, or looked as if somebody had
cancelled the run. It is the failure of one attempt, as any other error of a handler.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from crewline.errors import CrewlineError


class HandlerExited(CrewlineError):
    """A handler raised what would end a program or a task; the cause is what it raised."""


def contained(error: BaseException) -> Exception:
    """The error as one that ends a run and nothing else: itself, or a `HandlerExited` that says what it was."""
    if isinstance(error, SystemExit):
        what = f"called sys.exit({'' if error.code is None else repr(error.code)})"
    elif isinstance(error, asyncio.CancelledError):
        what = "awaited something that was cancelled"
    elif isinstance(error, StopIteration) or not isinstance(error, Exception):
        # a StopIteration can't be handed on by a future: who waits for it would wait for ever
        what = f"raised {type(error).__name__}"
    else:
        return error
    exited = HandlerExited(f"the handler {what}")
    exited.__cause__ = error
    return exited


async def awaited(handling: Awaitable[Any]) -> Any:
    """Awaits an ``async def`` handler; what it raises is an Exception, but for the cancellation of this very task."""
    task = asyncio.current_task()
    try:
        return await handling
    except asyncio.CancelledError as error:
        if task is None or task.cancelling():
            raise
        raise contained(error) from error
    except GeneratorExit as error:
        # thrown in from outside where a loop that ended leaves this coroutine to the garbage collection
        if not _runs(task):
            raise
        raise contained(error) from error
    except Exception:
        raise
    except BaseException as error:
        raise contained(error) from error


def _runs(task: asyncio.Task[Any] | None) -> bool:
    try:
        return task is not None and asyncio.current_task() is task
    except RuntimeError:
        return False
