"""A worker's HTTP port: what the kubelet asks, answered by threads, so that a handler which holds the event loop is no
worker that has died.

``GET /ready`` is answered once the first fetch was: asked before, it waits for that, so that a worker that is about to
start is not told to have failed. ``GET /alive`` says whether the worker does its work.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from crewline.errors import InvalidOption
from crewline.listening import listen

#: Seconds that a question waits for the worker to be ready.
WAIT_SECONDS = 8.0
#: Seconds that a question may take to come, and its answer to be taken.
TALK_SECONDS = 5.0
#: Questions at once; a kubelet asks one.
MOST_AT_ONCE = 16


class Health:
    """Serves from when it is made: what asks too early is answered as soon as there is an answer.

    Args:
        port: on all addresses; 0 for any.

    Raises:
        InvalidOption: the port can't be had.

    Attributes:
        port: the one that is served.
        ready: set it once the worker is ready.
        trouble: says what is wrong with the worker, '' if nothing is; set it once there is a worker.
    """

    def __init__(self, port: int) -> None:
        try:
            self._socket = listen(port)
        except OSError as error:
            raise InvalidOption(f"--health-port {port} can't be served: {error}") from None
        self.port = int(self._socket.getsockname()[1])
        self.ready = threading.Event()
        self.trouble: Callable[[], str] = lambda: ""
        self._talks = threading.Semaphore(MOST_AT_ONCE)
        threading.Thread(target=self._serve, name="crewline-health", daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                talk, _ = self._socket.accept()
            except OSError:
                # too many open files, or a connection that has gone
                self.ready.wait(0.1)
                continue
            self._talks.acquire()
            threading.Thread(target=self._talk, args=(talk,), name="crewline-health", daemon=True).start()

    def _talk(self, talk: socket.socket) -> None:
        try:
            with talk, contextlib.suppress(OSError):
                talk.settimeout(TALK_SECONDS)
                code, text = self._answer(talk.recv(4096).split(b" ", 2)[1:2])
                head = f"HTTP/1.1 {code}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
                talk.sendall(f"{head}Connection: close\r\n\r\n{text}".encode())
        finally:
            self._talks.release()

    def _answer(self, path: list[bytes]) -> tuple[str, str]:
        if path == [b"/ready"]:
            ready = self.ready.wait(WAIT_SECONDS)
            return ("200 OK", "ready\n") if ready else ("503 Service Unavailable", "the first fetch was not answered\n")
        if path == [b"/alive"]:
            trouble = self.trouble()
            return ("503 Service Unavailable", f"{trouble}\n") if trouble else ("200 OK", "alive\n")
        return "404 Not Found", "ask /ready or /alive\n"
