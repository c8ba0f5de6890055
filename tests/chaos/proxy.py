"""A TCP proxy between workers and Redis that breaks the link in the ways networks do.

Everything passes until it is told otherwise. `cut_requests` and `cut_replies` name how many of the next matching
calls are hit; a call matches when it is large or small as it may be but of a worker's own scripts (EVALSHA or EVAL).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

#: Bytes read at once; a script call fits mostly into one.
CHUNK = 1 << 16


@dataclass(eq=False)
class Link:
    """One client's connection and its way on to Redis."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    dead: bool = False
    drop_reply: bool = False
    #: set once what the client sends may go on, for a link that was held
    delivered: asyncio.Event | None = None

    def reset(self) -> None:
        """Ends both ways with a reset, as a vanished peer or a firewall does."""
        for writer in (self.client, self.server):
            peer: socket.socket | None = writer.get_extra_info("socket")
            if peer is not None:
                with contextlib.suppress(OSError):
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


@dataclass
class Proxy:
    """Listens on a free loopback port and passes on to ``port``.

    Attributes:
        cut_requests: script calls still to cut in their middle: Redis gets half of it.
        cut_replies: script calls still to carry out and whose answer is dropped with the connection.
        hits: how many calls were hit by either.
        silent: links that are made now are taken, and never hear anything.
        latency_seconds: by how much each way of each message is held up.
    """

    port: int
    cut_requests: int = 0
    cut_replies: int = 0
    hits: int = 0
    silent: bool = False
    latency_seconds: float = 0.0
    links: set[Link] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        assert self._server
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server
        self._server.close()
        for link in list(self.links):
            link.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset_all(self) -> int:
        """Resets every link that is there now; returns how many."""
        links = list(self.links)
        for link in links:
            link.reset()
        return len(links)

    def black_hole(self) -> int:
        """From now on swallows what goes over the links that are there, and tells neither end; returns how many."""
        for link in self.links:
            link.dead = True
        return len(self.links)

    def hold(self) -> Callable[[], None]:
        """From now on keeps what clients send over the links that are there; returns what delivers it.

        It is delivered also where the client has given up and closed the link meanwhile, as a network does with what it
        has taken.
        """
        delivered = asyncio.Event()
        for link in self.links:
            link.delivered = delivered
        return delivered.set

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, to_server, dead=self.silent)
        self.links.add(link)
        ways = [asyncio.ensure_future(self._up(link, reader)), asyncio.ensure_future(self._down(link, from_server))]
        self._tasks.update(ways)
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._tasks.difference_update(ways)
            self.links.discard(link)
            link.client.transport.abort()
            link.server.transport.abort()

    async def _up(self, link: Link, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.latency_seconds:
                    await asyncio.sleep(self.latency_seconds)
                if link.dead:
                    continue
                if link.delivered:
                    await link.delivered.wait()
                if b"\r\nEVAL" in data[:32]:
                    if self.cut_requests:
                        self.cut_requests -= 1
                        self.hits += 1
                        link.server.write(data[: len(data) // 2])
                        await link.server.drain()
                        link.reset()
                        return
                    if self.cut_replies:
                        self.cut_replies -= 1
                        self.hits += 1
                        link.drop_reply = True
                link.server.write(data)
                await link.server.drain()
        if link.delivered:
            # a reset would take away what Redis has not read yet
            link.server.close()
            await link.server.wait_closed()

    async def _down(self, link: Link, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.latency_seconds:
                    await asyncio.sleep(self.latency_seconds)
                if link.dead:
                    continue
                if link.drop_reply:
                    link.reset()
                    return
                link.client.write(data)
                await link.client.drain()
