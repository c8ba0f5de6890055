"""A worker's HTTP port: what the kubelet asks, answered by a thread of its own, so that a handler which holds the event
loop is no worker that has died.

``GET /ready`` is answered once the first fetch was: asked before, it waits for that, so that a worker that is about to
start is not told to have failed. ``GET /alive`` says whether the worker does its work.

All are answered by the one thread that was started with the port: later the system may have none to give.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from crewline.beside import start_thread
from crewline.errors import InvalidOption
from crewline.listening import listen

log = logging.getLogger("crewline.worker")

#: Seconds that a question waits for the worker to be ready, and between two looks whether it is.
WAIT_SECONDS, LOOK_SECONDS = 8.0, 0.05
#: Seconds that a question may take to come, and its answer to be taken.
TALK_SECONDS = 5.0
#: Connections at once; a kubelet has one. The one more takes the place of the oldest.
MOST_AT_ONCE = 64
#: Seconds until the port is served anew where that failed.
AGAIN_SECONDS = 1.0


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
        self._talks: dict[asyncio.Task[None], None] = {}
        start_thread(self._serve, name="crewline-health")

    def _serve(self) -> None:
        while True:
            try:
                asyncio.run(self._listen())
            except Exception:
                log.exception("the health port %d is served anew", self.port)
                time.sleep(AGAIN_SECONDS)

    async def _listen(self) -> None:
        # each time another object of the same socket: a server closes its own
        async with await asyncio.start_server(self._accept, sock=self._socket.dup()) as server:
            await server.serve_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._talks) >= MOST_AT_ONCE:
            next(iter(self._talks)).cancel()
        talk = asyncio.create_task(self._talk(reader, writer))
        self._talks[talk] = None
        talk.add_done_callback(self._talks.pop)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(TALK_SECONDS):
                asked = await reader.readline()
            code, text = await self._answer(asked.split(b" ", 2)[1:2])
            head = f"HTTP/1.1 {code}\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
            async with asyncio.timeout(TALK_SECONDS):
                writer.write(f"{head}Connection: close\r\n\r\n{text}".encode())
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # it has gone, says nothing, or says no line
        finally:
            writer.close()

    async def _answer(self, path: list[bytes]) -> tuple[str, str]:
        if path == [b"/ready"]:
            ready = await self._is_ready()
            return ("200 OK", "ready\n") if ready else ("503 Service Unavailable", "the first fetch was not answered\n")
        if path == [b"/alive"]:
            trouble = self.trouble()
            return ("503 Service Unavailable", f"{trouble}\n") if trouble else ("200 OK", "alive\n")
        return "404 Not Found", "ask /ready or /alive\n"

    async def _is_ready(self) -> bool:
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.ready.is_set() and time.monotonic() < deadline:  # noqa: ASYNC110 - another thread sets it
            await asyncio.sleep(LOOK_SECONDS)
        return self.ready.is_set()
