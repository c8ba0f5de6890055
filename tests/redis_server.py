"""A real redis-server for tests: on a free loopback port, in a folder of its own, ended by its process.

Nothing is mocked and nothing is shared with a Redis that happens to run on the machine. `start` answers only when the
server does; `stop` (or leaving the `with` block) ends exactly the process that was started here.
"""

from __future__ import annotations

import contextlib
import random
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

#: Seconds: a server with an empty data folder answers in some 20 ms; a busy machine may take far longer.
START_SECONDS = 20.0
STOP_SECONDS = 10.0
#: Where servers listen: Linux gives clients ports from 32768 on, Kubernetes services those from 30000 on.
PORTS = (11_000, 19_900)


@dataclass
class RedisServer:
    """A running server. `url` is what `redis.from_url` and the engine take."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> None:
        """End the server without saving; a second call does nothing."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago, and none that the system gives to a client.

    A server that a test kills and starts again needs its port back: one out of the system's own range may be taken by
    any connection meanwhile, even by a client that tries to reach the dead server and so meets itself. The nodes of a
    cluster talk on a port that is 10,000 higher, for which there must be room below that range, too.
    """
    while True:
        port = random.SystemRandom().randrange(*PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def start(folder: Path, *options: str, port: int | None = None) -> RedisServer:
    """Start a server that keeps its log and files in `folder`; `options` are more of redis-server's own.

    Raises AssertionError when there is no redis-server or when it does not answer.
    """
    program = shutil.which("redis-server")
    assert program, "no redis-server on PATH: install it (Debian: apt-get install redis-server)"
    folder.mkdir(parents=True, exist_ok=True)
    attempts = 1 if port else 5  # another process may take a free port before the server does
    for _ in range(attempts):
        chosen = port or free_port()
        arguments = ["--port", str(chosen), "--bind", "127.0.0.1", "--dir", str(folder), "--logfile", "redis.log"]
        process = subprocess.Popen([program, *arguments, "--save", "", "--appendonly", "no", *options])
        server = RedisServer(process, chosen, folder)
        if _answers(server):
            return server
        server.stop()
    log = folder / "redis.log"
    raise AssertionError(
        f"redis-server did not answer on port {chosen}; its log:\n{log.read_text() if log.exists() else 'none'}"
    )


def _answers(server: RedisServer) -> bool:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=1) as link:
                link.sendall(b"PING\r\n")
                # LOADING is an answer too, but not yet a server that works.
                if link.recv(64).startswith(b"+PONG"):
                    return server.process.poll() is None
        except OSError:
            pass
        time.sleep(0.01)
    return False
