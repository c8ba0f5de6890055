"""Which handlers no child process can run at present, although their module may say that one can.

That a child can't import a handler is so for good. That a child was not ready may be the machine's doing, on the very
machine that is short of memory after a crash: such a handler has children again after a while.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

#: Seconds for which there may be no child for a handler before its suspects run in the worker itself, and before the
#: attempts of those jobs are used up that need one ...
UNREADY_SECONDS = 30.0
#: ... and for how many that is so then.
AGAIN_SECONDS = 300.0

Handler = Callable[..., Any]


class Childless:
    """The handlers of one worker that have no child."""

    def __init__(self) -> None:
        self._until: dict[Handler, float] = {}
        self._unready_since: dict[Handler, float] = {}

    def __contains__(self, call: Handler) -> bool:
        return self._until.get(call, 0.0) > time.monotonic()

    def unable(self, call: Handler) -> None:
        """No child can run it."""
        self._until[call] = math.inf

    def unready(self, call: Handler) -> None:
        """There was no child for it just now."""
        now = time.monotonic()
        if now - self._unready_since.setdefault(call, now) >= UNREADY_SECONDS:
            del self._unready_since[call]
            self._until[call] = max(self._until.get(call, 0.0), now + AGAIN_SECONDS)

    def ran(self, call: Handler) -> None:
        """A child has run it."""
        self._unready_since.pop(call, None)
        if self._until.get(call) != math.inf:
            self._until.pop(call, None)
