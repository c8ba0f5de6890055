"""The Lease as it is read: one that is older than before is of data that was restored."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from crewline_operator.kube.election import Candidacy, Timing
from crewline_operator.kube.errors import WentBack
from crewline_operator.kube.events import EventRecorder
from crewline_operator.kube.fence import Fence
from crewline_operator.kube.lease import Lease
from crewline_operator.loop.leading import Leading

from tests.unit.operator.kube.serving import served

TIMING = Timing(lease_seconds=60, renew_deadline_seconds=8, renew_seconds=0.04)


async def test_who_waits_to_lead_ends_when_the_lease_is_older_than_it_was() -> None:
    versions = iter(["70", "75", "75", "60"])

    async def answer(_: web.Request) -> web.Response:
        spec = {"holderIdentity": "another", "leaseDurationSeconds": 60}
        return web.json_response({"metadata": {"resourceVersion": next(versions)}, "spec": spec})

    async with served(answer) as api:
        fence = Fence()
        leading = Leading(
            lease=Lease(api, "ops", "operators"), fence=fence, candidacy=Candidacy("me", TIMING), timing=TIMING
        )
        with pytest.raises(WentBack, match="Lease ops/operators has version 60, and had 75 before"):
            async with asyncio.timeout(30):
                await leading.run(EventRecorder(api), lambda: None)
        assert not fence.is_open
