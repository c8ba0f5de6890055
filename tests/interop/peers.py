"""BullMQ's own clients, each in a process that the tests drive with lines of JSON (`driver.mjs` says which).

A session has one process a peer, since Node takes longer to start than most checks do to run; what a test opened there
is closed when it ends.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

#: Seconds for any one answer, and for the first.
ANSWER_SECONDS = 30.0
START_SECONDS = 60.0


class PeerError(Exception):
    """What BullMQ threw."""


class Peer:
    """One BullMQ client in a process of its own.

    Args:
        flavour: `bullmq5`, `bullmq6` (npm) or `port` (PyPI).
        port: where Redis listens.
    """

    def __init__(self, flavour: str, port: int) -> None:
        self.flavour = flavour
        program = [sys.executable, "driver.py"] if flavour == "port" else ["node", "driver.mjs", flavour]
        self._process = subprocess.Popen(
            [*program, str(port)], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._ids = itertools.count(1)
        self._names = (f"handle{n}" for n in itertools.count(1))
        self._answers: dict[int, Future[Any]] = {}
        self._events: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._opened: list[str] = []
        self._reader = threading.Thread(target=self._read, name=f"peer-{flavour}", daemon=True)
        self._reader.start()
        # Node on a busy machine may need seconds for its start, which is no test's business
        self._send(op="hello").result(START_SECONDS)

    def stop(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    async def open(self, kind: str, queue: str, **options: Any) -> Remote:
        """Opens a `Queue`, `Worker` or `QueueEvents` with BullMQ's own options."""
        name = next(self._names)
        self._opened.append(name)
        await self.request(op="open", kind=kind, queue=queue, options=options, **{"as": name})
        return Remote(self, name)

    async def close_all(self) -> None:
        for name in reversed(self._opened):
            await self.request(op="close", on=name)
        self._opened.clear()
        self._events.clear()

    async def close(self, name: str) -> None:
        self._opened.remove(name)
        await self.request(op="close", on=name)

    async def request(self, **message: Any) -> Any:
        answer = self._send(**message)
        async with asyncio.timeout(ANSWER_SECONDS):
            return await asyncio.wrap_future(answer)

    async def heard(self) -> None:
        """Returns once all that the peer said so far is read: Redis may tell of an end before the pipe does."""
        await self.request(op="hello")

    def events_of(self, name: str) -> list[dict[str, Any]]:
        return self._events[name]

    def _send(self, **message: Any) -> Future[Any]:
        number = next(self._ids)
        answer = self._answers[number] = Future()
        assert self._process.stdin
        try:
            self._process.stdin.write(json.dumps({"id": number, **message}) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise AssertionError(f"{self.flavour} has ended; its own output says why") from None
        return answer

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            message = json.loads(line)
            if "from" in message:
                self._events[message.pop("from")].append(message)
                continue
            answer = self._answers.pop(message["id"])
            if "error" in message:
                answer.set_exception(PeerError(message["error"]))
            else:
                answer.set_result(message["value"])
        for answer in self._answers.values():
            answer.set_exception(AssertionError(f"{self.flavour} has ended; its own output says why"))


class Remote:
    """Something opened in a peer: `await queue("add", "name", {...})` calls its method `add`."""

    def __init__(self, peer: Peer, name: str) -> None:
        self.peer = peer
        self.handle = {"handle": name}
        self._name = name

    async def __call__(self, method: str, *args: Any) -> Any:
        return await self.peer.request(op="call", on=self._name, method=method, args=args)

    async def job(self, job_id: str, method: str | None = None, *args: Any) -> Any:
        """A job of this queue, or what its method returns."""
        return await self.peer.request(op="job", on=self._name, job=job_id, method=method, args=args)

    async def is_in(self, state: str, job_id: str) -> bool:
        """Whether a job of this queue is in that state, as the peer sees it."""
        return bool(await self("getJobState", job_id) == state)

    async def counts(self, **expected: int) -> bool:
        """Whether the peer counts as many jobs in these states."""
        counted = await self("getJobCounts", *(state.replace("_", "-") for state in expected))
        return {state: counted[state.replace("_", "-")] for state in expected} == expected

    async def fetch(self) -> str | None:
        """Begins one job of a `manual` worker; its id, or None if nothing was runnable."""
        begun: str | None = await self.peer.request(op="fetch", on=self._name)
        return begun

    async def finish(self, cancelled: str | None = None) -> None:
        """Ends the job that `fetch` began: plays it, or fails it for good with that reason."""
        await self.peer.request(op="finish", on=self._name, cancelled=cancelled)

    async def close(self) -> None:
        await self.peer.close(self._name)

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.peer.events_of(self._name)

    @property
    def handled(self) -> list[str]:
        """The ids of the jobs that a worker was given, in order."""
        return [event["job"] for event in self.events if event["event"] == "handled"]

    def said(self, event: str, job: str | None = None) -> list[dict[str, Any]]:
        """The events of that name (for that job)."""
        return [e for e in self.events if e["event"] == event and job in (None, e.get("jobId"))]


async def until(check: Callable[[], Any] | Callable[[], Awaitable[Any]], what: str, seconds: float = 15.0) -> Any:
    """Waits until `check()` (or what it awaits) is true and returns it; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = check()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        await asyncio.sleep(0.005)


async def stays(check: Callable[[], Any], what: str, seconds: float = 0.4) -> None:
    """Looks on for `seconds` and fails with `what` as soon as `check()` is false: for what must not happen."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert check(), f"broken: {what}"
        await asyncio.sleep(0.01)
