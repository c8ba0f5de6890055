"""The event loop that connections belong to.

What asyncio opens can be read and written on the loop that it was opened on, and nowhere else. A program that calls
asyncio.run() twice with one Queue uses two of them: what belongs to the first, which is closed, is dropped then, and
the second starts afresh. Two loops at the same time can't share connections, and are told so.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from crewline import forks
from crewline.errors import CrewlineError
from crewline.redis import private

ANOTHER = (
    "this object belongs to another event loop, which is not closed: make one for each loop (each thread has its own), "
    "or use crewline.sync, which any thread may call"
)


class Home:
    """The loop of one client's connections, and of what stands on them.

    Args:
        client: whose connections are dropped with their loop; None for what stands on a client of the caller's own.
    """

    def __init__(self, client: Any = None) -> None:
        self._client: Callable[[], Any] = (lambda: None) if client is None else weakref.ref(client)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tenants: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()
        forks.in_child(self, Home._forget)

    def settle(self, tenant: Any, forget: Callable[[Any], None]) -> None:
        """Calls ``forget(tenant)`` when the loop of all that it holds is gone: closed, or the parent's of this fork."""
        self._tenants[tenant] = forget

    def enter(self) -> None:
        """Said at each use; raises CrewlineError where the connections are another living loop's."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # only looked at
        if loop is self._loop:
            return
        if self._loop is not None:
            if not self._loop.is_closed():
                raise CrewlineError(ANOTHER)
            client = self._client()
            if client is not None:
                private.abandon(client)
            self._forget()
        self._loop = loop

    def _forget(self) -> None:
        self._loop = None
        for tenant, forget in list(self._tenants.items()):
            forget(tenant)


def give_home(client: Any) -> None:
    """A client that `connect` made gets one."""
    client.crewline_home = Home(client)


def home_of(client: Any) -> Home:
    """A client's; one of its own for what stands on a client of the caller's, whose connections are the caller's."""
    home: Home | None = getattr(client, "crewline_home", None)
    return home or Home()
