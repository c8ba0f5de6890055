"""What a worker and its child say to each other, and what both know.

A line carries a request and its answer, one exchange at a time, each as a pickled message behind its length. A
template, which others are copied from, has a control besides.
"""

from __future__ import annotations

import pickle
import signal
import struct
from typing import Any, NamedTuple

from crewline.redis.address import redact

#: Before each message on the line: its length in bytes.
HEADER = struct.Struct("!Q")
#: Bytes of memory that a child shares with its worker: the first is 1 once it has begun with what it was asked.
MARK_SIZE = 1
#: Signals that are the worker's to handle, also where the whole group gets them.
WORKERS_SIGNALS = (signal.SIGINT, signal.SIGTERM)

#: On a template's control, both ways: what, which child, and its exit code where that is told. A message that asks for
#: a copy brings its line and its mark, one that tells of a copy the descriptor by which it can be killed.
CONTROL = struct.Struct("!cQi")
FORK, MADE, ENDED = b"F", b"M", b"E"
#: What a child is told to have ended with that could not be made; no exit code and no signal.
NOT_MADE = 1 << 16


class Where(NamedTuple):
    """Where a child finds the queue, for a connection of its own."""

    url: str
    prefix: str
    queue: str
    timeout_seconds: float
    lease_ms: int = 30_000

    def __repr__(self) -> str:
        return f"Where({redact(self.url)!r}, {self.prefix!r}, {self.queue!r})"


class Hello(NamedTuple):
    """The first message to a child: what it is to load before it says that it is ready.

    ``argv`` and ``main``, the main file's path, are the worker's.
    """

    where: Where
    spec: str
    argv: list[str]
    main: str


class Request(NamedTuple):
    """One run: the job by id and lease token, the handler by ``module:function``, and the job's pickled content."""

    job_id: str
    token: str
    spec: str
    content: bytes


class Answer(NamedTuple):
    """How a run ended, and which. ``text`` is the result's JSON where ``kind`` is ``done``, else the reason.

    Kinds: ``done``, ``refused`` (a result that is not JSON), ``reject``, ``retry``, ``lost``, ``failed``, ``unable``
    (the system gave the process no thread or descriptor, and the handler has not begun); at the start ``ready``,
    ``template`` (it makes copies, and runs nothing itself) or ``unusable``.
    """

    job_id: str
    token: str
    kind: str
    text: str
    trace: str = ""
    delay: float | None = None


def framed(message: Any) -> bytes:
    """A message as it goes over the line."""
    encoded = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return HEADER.pack(len(encoded)) + encoded
