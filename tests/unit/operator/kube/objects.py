"""An API server's Secrets and ConfigMaps, and who asks for and watches them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from crewline_operator.kube.api import Api

from tests.unit.operator.kube.serving import served


@dataclass
class Objects:
    """All by their names, and the calls for them."""

    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Open watches, by name, and all calls for one object there ever were.
    watches: dict[str, asyncio.Queue[str]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    _version: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def put(self, name: str, value: str) -> None:
        """Make or change one; whoever watches it is told."""
        self._version += 1
        metadata = {"name": name, "namespace": "shop", "uid": name, "resourceVersion": str(self._version)}
        self.kept[name] = {"kind": "Secret", "metadata": metadata, "data": {"value": value}}
        if name in self.watches:
            self.watches[name].put_nowait(json.dumps({"type": "MODIFIED", "object": self.kept[name]}))

    async def until(self, holds: Any) -> None:
        """Wait until something holds after a call has come or a watch has ended."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(holds)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await self._watch(request)
        name = request.path.rsplit("/", 1)[1]
        found = self.kept.get(name)
        self.asked[name] += 1
        await self._notify()
        if found is None:
            return web.json_response({"reason": "NotFound"}, status=404)
        return web.json_response(found)

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        name = request.query["fieldSelector"].removeprefix("metadata.name=")
        stream = web.StreamResponse()
        await stream.prepare(request)
        mine: asyncio.Queue[str] = asyncio.Queue()
        self.watches[name] = mine
        await self._notify()
        try:
            while request.transport is not None:
                await stream.write(f"{await mine.get()}\n".encode())
        finally:
            if self.watches.get(name) is mine:
                del self.watches[name]
            await self._notify()
        return stream

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@asynccontextmanager
async def secrets(*names: str) -> AsyncIterator[tuple[Objects, Api]]:
    """Some that are there."""
    objects = Objects()
    for name in names:
        objects.put(name, "one")
    async with served(objects.answer) as api:
        yield objects, api
