"""bull-board, the dashboard of BullMQ fleets, served on our queues by `bull_board.mjs`, and its HTTP API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from tests.interop.peers import ANSWER_SECONDS, HERE, START_SECONDS


class Board:
    """A running bull-board. `url` is its page; what it answers is what its page shows."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session

    async def page(self) -> str:
        async with self._session.get(self.url) as answer:
            answer.raise_for_status()
            return await answer.text()

    async def queue(self, name: str, status: str = "latest") -> dict[str, Any]:
        """A queue as its page lists it: counts of every state, and the jobs of the state asked for."""
        listed = await self._get("api/queues", activeQueue=name, status=status)
        found: dict[str, Any] = next(queue for queue in listed["queues"] if queue["name"] == name)
        return found

    async def counts(self, name: str, **expected: int) -> bool:
        """Whether the page counts as many jobs in these states and none in all others."""
        counted: dict[str, int] = (await self.queue(name))["counts"]
        return {state: n for state, n in counted.items() if n} == {state: n for state, n in expected.items() if n}

    async def job(self, name: str, job_id: str) -> dict[str, Any]:
        """`{"job": ..., "status": its state}`."""
        found: dict[str, Any] = await self._get(f"api/queues/{name}/{job_id}")
        return found

    async def logs(self, name: str, job_id: str) -> list[str]:
        lines: list[str] = await self._get(f"api/queues/{name}/{job_id}/logs")
        return lines

    async def put(self, path: str) -> None:
        """A button of the page: `QUEUE/pause`, `QUEUE/JOB/retry`, `QUEUE/clean/STATE` ..."""
        async with self._session.put(f"{self.url}api/queues/{path}") as answer:
            assert answer.ok, f"PUT {path}: {answer.status} {await answer.text()}"

    async def _get(self, path: str, **query: str) -> Any:
        async with self._session.get(self.url + path, params=query) as answer:
            assert answer.ok, f"GET {path}: {answer.status} {await answer.text()}"
            return await answer.json()


@asynccontextmanager
async def bull_board(flavour: str, redis_port: int, *queues: str) -> AsyncIterator[Board]:
    """Serves bull-board on these queues for the time of the block.

    Args:
        flavour: the BullMQ it reads them with, `bullmq5` or `bullmq6`.
        redis_port: where Redis listens.
    """
    process = await asyncio.create_subprocess_exec(
        *("node", "bull_board.mjs", flavour, str(redis_port), *queues),
        cwd=HERE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin and process.stdout
    try:
        async with asyncio.timeout(START_SECONDS):
            line = await process.stdout.readline()
        assert line, "bull-board has ended; its own output says why"
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            yield Board(f"http://127.0.0.1:{json.loads(line)['port']}/", session)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
