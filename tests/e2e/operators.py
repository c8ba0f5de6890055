"""Operators as processes beside a real API server, which can be killed, stopped for a while, or cut off from it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import yaml

from tests.e2e.inside import Inside
from tests.e2e.scene import Object

LEASE = "operators"
#: Between two looks where something is timed.
LOOK_SECONDS = 0.02


@dataclass
class Process:
    """One operator."""

    popen: subprocess.Popen[bytes]
    log_file: Path

    def log(self) -> str:
        return self.log_file.read_text()

    def found(self, pattern: str) -> str | None:
        match = re.search(pattern, self.log())
        return match.group(1) if match else None

    @property
    def identity(self) -> str | None:
        """What it is called in the Lease; None as long as it has not led."""
        return self.found(r"is ours, as (\S+)")

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    async def ended(self, seconds: float = 30) -> int:
        """Wait until it has ended; its exit status."""
        return await asyncio.to_thread(self.popen.wait, seconds)

    async def is_ready(self) -> bool:
        """Whether it waits to lead, or leads."""
        assert self.popen.poll() is None, self.log()
        return self.found(r"(waiting: \S+ leads|is ours)") is not None

    async def http(self, path: str) -> tuple[int, str]:
        port = self.found(r"are on port (\d+)")
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, await answer.text()


@dataclass
class Operators:
    """Those of one namespace."""

    inside: Inside
    folder: Path
    processes: list[Process] = field(default_factory=list)

    async def start(self, kubeconfig: Path | None = None, **other: str) -> Process:
        """Start one, with other settings than those that it has here, and wait until it knows all there is."""
        settings = {
            "CREWLINE_HTTP_PORT": "0",
            "CREWLINE_WATCH_NAMESPACES": self.inside.scene.namespace,
            "CREWLINE_NAMESPACE": self.inside.scene.namespace,
            "CREWLINE_LEASE_NAME": LEASE,
            "CREWLINE_POLL_SECONDS": "0.2",
        } | other
        if kubeconfig is not None:
            settings["KUBECONFIG"] = str(kubeconfig)
        log_file = self.folder / f"operator-{len(self.processes)}.log"
        process = Process(_begin(settings, log_file), log_file)
        self.processes.append(process)
        await soon("an operator is ready", process.is_ready)
        return process

    async def lease(self) -> Object:
        found = await self.inside.scene.get("Lease", LEASE, "coordination.k8s.io/v1")
        assert found
        return found

    async def next_leader(self, earlier: Process) -> Process:
        """Wait until another process leads."""

        async def leads() -> Process | None:
            holder = (await self.lease())["spec"].get("holderIdentity")
            others = [each for each in self.processes if each is not earlier and holder and each.identity == holder]
            return others[0] if others else None

        leader: Process = await soon("another leads", leads)
        return leader

    def end(self) -> None:
        for process in self.processes:
            if process.popen.poll() is None:
                process.signal(signal.SIGCONT)
                process.popen.kill()
                process.popen.wait()


def _begin(settings: dict[str, str], log_file: Path) -> subprocess.Popen[bytes]:
    with log_file.open("wb") as output:
        words = [sys.executable, "-m", "crewline_operator.main"]
        return subprocess.Popen(words, env=os.environ | settings, stderr=output)


@asynccontextmanager
async def operators(inside: Inside, folder: Path) -> AsyncIterator[Operators]:
    """None at first; all of them end with the block."""
    running = Operators(inside, folder)
    try:
        yield running
    except BaseException:
        for process in running.processes:
            print(f"--- {process.log_file.name}\n{process.log()[-4000:]}")
        raise
    finally:
        running.end()


async def soon(what: str, look: Callable[[], Awaitable[Any]], seconds: float = 60) -> Any:
    """What `look` gives once that is true of it, looked at often."""
    deadline = time.monotonic() + seconds
    while not (seen := await look()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
        await asyncio.sleep(LOOK_SECONDS)
    return seen


class Door:
    """A way to the API server that can be closed, as seen by who goes that way: the API server is away then."""

    def __init__(self, host: str, port: int) -> None:
        self._target = host, port
        self._server: asyncio.Server | None = None
        self._port = 0
        self._ways: set[asyncio.Task[None]] = set()

    async def open(self) -> int:
        """Open it at the port that it has had; gives the port."""
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return self._port

    async def close(self) -> None:
        """Nobody comes in any more, and who is on the way is cut off."""
        if self._server is not None:
            self._server.close()
        for way in self._ways:
            way.cancel()
        await asyncio.sleep(0)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._target)

        async def pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        for pair in ((reader, there_writer), (there_reader, writer)):
            way = asyncio.create_task(pour(*pair))
            self._ways.add(way)
            way.add_done_callback(self._ways.discard)


@asynccontextmanager
async def door(inside: Inside, folder: Path) -> AsyncIterator[tuple[Door, Path]]:
    """An open door, and the kubeconfig that leads through it."""
    config = yaml.safe_load(inside.cluster.kubeconfig.read_text())
    there = config["clusters"][0]["cluster"]
    address = urlsplit(there["server"])
    way = Door(address.hostname or "", address.port or 443)
    port = await way.open()
    there.setdefault("tls-server-name", address.hostname)
    there["server"] = f"https://127.0.0.1:{port}"
    kubeconfig = folder / "kubeconfig-door"
    kubeconfig.write_text(json.dumps(config))
    try:
        yield way, kubeconfig
    finally:
        await way.close()
