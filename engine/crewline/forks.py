"""What a forked child must not share with the process that made it.

A child has a copy of all that its parent holds open. On one connection, what the one sends goes between the parts of
what the other does, and each reads the other's answers; and a connection whose owner has died stays open as long as the
child lives, so that whatever waits on it goes on. So what is named here is taken from a child as soon as it begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import weakref
from collections.abc import Callable, Iterable
from typing import Any

#: How many forks lie between this process and the one that imported this first: what was made at another depth is the
#: parent's. The process id would tell as well, for a call of the system's each time.
depth = 0

_owners: weakref.WeakKeyDictionary[Any, Callable[[Any], None]] = weakref.WeakKeyDictionary()


def in_child(owner: Any, do: Callable[[Any], None]) -> None:
    """Does ``do(owner)`` at the beginning of each child that this process forks, as long as there is that ``owner``."""
    _owners[owner] = do


def sever(descriptors: Iterable[int]) -> None:
    """Makes sockets of the parent's, in its child, ends of nothing.

    They are not closed: whatever still names such a number would soon mean another file by it.
    """
    nothing, peer = socket.socketpair()
    peer.close()
    with nothing:
        for each in descriptors:
            with contextlib.suppress(OSError):
                os.dup2(nothing.fileno(), each, inheritable=False)


def descriptor_of(transport: asyncio.BaseTransport | None) -> list[int]:
    """The descriptor of a transport's socket, if it is open: uvloop's tell the number also when that is another's."""
    open_socket = None if transport is None or transport.is_closing() else transport.get_extra_info("socket")
    return [] if open_socket is None else [open_socket.fileno()]


def _begin() -> None:
    global depth
    depth += 1
    for owner, do in list(_owners.items()):
        # one that fails keeps nothing from the others, nor the child from its work
        with contextlib.suppress(Exception):
            do(owner)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin)
