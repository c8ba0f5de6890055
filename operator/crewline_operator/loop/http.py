"""The operator's HTTP port: /healthz and /readyz for the kubelet, /metrics for Prometheus."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from crewline.listening import listen
from prometheus_client import CONTENT_TYPE_LATEST

from crewline_operator.loop.metrics import Metrics


@asynccontextmanager
async def serve_http(port: int, metrics: Metrics, is_ready: Callable[[], bool]) -> AsyncIterator[int]:
    """Serve on all addresses, IPv6 ones among them, while the context is open; gives the port. Raises OSError."""

    async def healthz(_: web.Request) -> web.Response:
        # It answers from the loop that everything else runs on: no answer means that the loop is stuck.
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if is_ready():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="the API server's objects are not listed and watched yet\n")

    async def render(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", render)])
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listen(port)).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
