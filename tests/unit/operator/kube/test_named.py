"""A watch that can't be kept is tried again, ever more rarely, whatever the API server says."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from crewline_operator.kube import named
from crewline_operator.kube.api import Api
from crewline_operator.kube.named import Named, NamedObjects

from tests.unit.operator.kube.serving import served

REDIS = Named("Secret", "shop", "redis")


@asynccontextmanager
async def answering(text: str, status: int = 200) -> AsyncIterator[tuple[Api, asyncio.Queue[float]]]:
    """An API server whose watches all have this answer, and which has no Secret; and when it was asked for watches."""
    asked: asyncio.Queue[float] = asyncio.Queue()

    async def answer(request: web.Request) -> web.Response:
        if "watch" not in request.query:
            return web.json_response({"reason": "NotFound"}, status=404)
        assert request.query["fieldSelector"] == "metadata.name=redis"
        asked.put_nowait(time.monotonic())
        return web.Response(text=text, status=status)

    async with served(answer) as api:
        yield api, asked


GONE = '{"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}\n'


@pytest.mark.parametrize(
    ("text", "status"),
    [("", 200), (GONE, 200), ("no JSON\n", 200), ("{}\n", 200), ("", 403), ("", 503)],
    ids=["ends at once", "tells an error", "is no JSON", "is no event", "is refused", "is away"],
)
async def test_a_watch_that_can_not_be_kept_is_tried_again_ever_more_rarely(
    monkeypatch: pytest.MonkeyPatch, text: str, status: int
) -> None:
    monkeypatch.setattr(named, "RETRY_SECONDS", 0.1)
    async with answering(text, status) as (api, asked):
        objects: NamedObjects[str] = NamedObjects(api, lambda _: None)
        objects.refer("emails", [REDIS])
        assert await objects.find(REDIS) is None
        async with asyncio.timeout(30):
            times = [await asked.get() for _ in range(4)]
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert all(gap >= least for gap, least in zip(gaps, (0.07, 0.15, 0.3), strict=True)), gaps
        await objects.close()
