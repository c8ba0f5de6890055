"""An operator that is there before its CRDs, or before the API server tells of them to all who ask.

The operator is a process of its own, the API server a stand-in: no real one can be had to tell one and not the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from crewline_operator.kube.kinds import KINDS
from crewline_operator.model.names import GROUP, VERSION

from tests.unit.operator.kube.cluster import Cluster, write_kubeconfig
from tests.unit.operator.kube.serving import serving

#: kopf has less time to find the kinds than it has in a cluster.
START = (
    "from crewline_operator import main; from crewline_operator.kube import kinds; {}; raise SystemExit(main.main([]))"
)
PLURALS = {resource.plural for _, resource, _ in KINDS}


@dataclass
class Operator:
    """A running operator."""

    process: asyncio.subprocess.Process
    log: str = ""

    async def told(self, pattern: str) -> str:
        """Wait until the log has that; the first group of it."""
        assert self.process.stderr is not None
        async with asyncio.timeout(60):
            while not (found := re.search(pattern, self.log)):
                line = await self.process.stderr.readline()
                assert line, f"ended without {pattern!r}: {self.log}"
                self.log += line.decode()
        return found[1]

    async def ready(self) -> int:
        """What the kubelet is told."""
        port = await self.told(r"are on port (\d+)")
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status

    async def ended(self) -> int:
        """Wait until it has ended; its exit status."""
        async with asyncio.timeout(60):
            assert self.process.stderr is not None
            self.log += (await self.process.stderr.read()).decode()
            return await self.process.wait()


@asynccontextmanager
async def operator(cluster: Cluster, tmp_path: Path, first: str = "pass") -> AsyncIterator[Operator]:
    async with serving(cluster.answer) as url:
        env = {"KUBECONFIG": str(write_kubeconfig(tmp_path / "kubeconfig", url)), "CREWLINE_HTTP_PORT": "0"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", START.format(first), env=os.environ | env, stderr=asyncio.subprocess.PIPE
        )
        try:
            yield Operator(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def of_ours(request: web.Request) -> bool:
    return GROUP in request.path or request.path == "/apis"


def in_the_list_of_groups(request: web.Request) -> bool:
    return request.path == "/apis"


def in_the_groups_own_list(request: web.Request) -> bool:
    return request.path == f"/apis/{GROUP}/{VERSION}"


@pytest.mark.parametrize("hides", [of_ours, in_the_list_of_groups, in_the_groups_own_list])
async def test_kinds_that_come_late_are_waited_for_and_watched(
    tmp_path: Path, hides: Callable[[web.Request], bool]
) -> None:
    cluster = Cluster(hides)
    async with operator(cluster, tmp_path) as started:
        await started.told(r"(are the CRDs installed)")
        assert await started.ready() == 503
        assert not cluster.watched and not cluster.lease
        cluster.hides = lambda _: False
        await cluster.until(lambda: cluster.watched == PLURALS and bool(cluster.lease))
        assert await started.ready() == 200
        assert not cluster.listed_whole, "lists come in pages, kopf's too"
        assert not any("configmaps" in path or "secrets" in path for path in cluster.asked), "nobody names one"


async def test_a_kind_that_kopf_was_not_told_of_ends_the_process_before_it_leads(tmp_path: Path) -> None:
    """One of several API servers that has not heard of the CRDs yet."""
    cluster = Cluster(lambda request: of_ours(request) and "kopf" in request.headers["User-Agent"])
    async with operator(cluster, tmp_path, "kinds.FIND_SECONDS = 2.0") as started:
        await cluster.until(lambda: cluster.watched == PLURALS - {"jobqueues", "scheduledjobs"})
        assert await started.ready() == 503
        assert await started.ended() == 1
        assert f"not watched 2 s after the start: jobqueues.{VERSION}.{GROUP}@None" in started.log
        assert not cluster.lease


async def test_one_that_still_waits_for_its_kinds_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    async with operator(Cluster(of_ours), tmp_path) as started:
        await started.told(r"(are the CRDs installed)")
        started.process.terminate()
        assert await started.ended() == 0, started.log
