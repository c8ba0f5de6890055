"""The operator's HTTP port: the kubelet asks it by an address of the pod, of whichever family the cluster has."""

from __future__ import annotations

import socket

import aiohttp
import pytest
from crewline_operator.loop.http import serve_http
from crewline_operator.loop.metrics import Metrics


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_it_is_asked_by_either_family(host: str) -> None:
    async with (
        serve_http(0, Metrics(), lambda: True) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://{host}:{port}/healthz") as answer,
    ):
        assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_it_is_ready_only_once_it_is() -> None:
    ready: list[bool] = []
    async with serve_http(0, Metrics(), lambda: bool(ready)) as port, aiohttp.ClientSession() as session:
        for status in (503, 200):
            async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                assert answer.status == status
            ready.append(True)
