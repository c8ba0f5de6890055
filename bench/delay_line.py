#!/usr/bin/env python3
"""A proxy on loopback that adds a round trip, as a longer cable does: in order, and what follows is not held up.

    delay_line.py PORT MILLISECONDS

Prints the port that it listens on. select() wakes to the microsecond: an event loop's timers of whole milliseconds
would let go of all that came in the last one together, which no cable does.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections import deque


def serve(port: int, one_way_seconds: float) -> None:
    """Passes bytes on after a delay; until killed."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    far: dict[socket.socket, socket.socket] = {}
    under_way: deque[tuple[float, socket.socket, bytes]] = deque()
    while True:
        wait = max(under_way[0][0] - time.monotonic(), 0.0) if under_way else None
        readable, _, _ = select.select([listener, *far], [], [], wait)
        now = time.monotonic()
        for source in readable:
            if source is listener:
                near = listener.accept()[0]
                ends = near, socket.create_connection(("127.0.0.1", port))
                for end in ends:
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                far[ends[0]], far[ends[1]] = ends[1], ends[0]
                continue
            data = receive(source)
            target = far[source]
            if not data:
                del far[source]
            under_way.append((now + one_way_seconds, target, data))
        while under_way and under_way[0][0] <= time.monotonic():
            _, target, data = under_way.popleft()
            send(target, data)


def receive(source: socket.socket) -> bytes:
    try:
        return source.recv(1 << 16)
    except OSError:
        return b""


def send(target: socket.socket, data: bytes) -> None:
    """Sends, or ends the connection where the other side has; both ends are in turn."""
    try:
        target.sendall(data) if data else target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # its other half is told by its own read


if __name__ == "__main__":
    serve(int(sys.argv[1]), float(sys.argv[2]) / 2000)
