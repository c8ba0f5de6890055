"""Two operators that no election keeps apart, each having a Lease of its own: one looks after a JobQueue, not both."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.inside import Inside
from tests.e2e.operators import Operators, operators, soon

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def two(inside: Inside, tmp_path: Path) -> AsyncIterator[Operators]:
    async with operators(inside, tmp_path) as running:
        for name in ("one", "two"):
            # Each would have workers of its own image.
            await running.start(CREWLINE_LEASE_NAME=name, CREWLINE_WORKER_IMAGE=f"localhost/absent:{name}")
        yield running


async def test_one_looks_after_a_jobqueue_and_the_other_takes_it_over_when_that_one_is_gone(two: Operators) -> None:
    scene, namespace = two.inside.scene, two.inside.scene.namespace
    wanted = two.inside.jobqueue("emails", scaling={"minReplicas": 1})
    del wanted["spec"]["worker"]["image"]
    await scene.apply(wanted)

    async def looks_after() -> str:
        deployment = await scene.get("Deployment", "emails", "apps/v1")
        annotations: dict[str, Any] = (deployment or {"metadata": {}})["metadata"].get("annotations") or {}
        return annotations.get("crewline.dev/operator", "")

    first = await soon("one of them has made the workers", looks_after)
    other = {f"{namespace}/one": f"{namespace}/two", f"{namespace}/two": f"{namespace}/one"}[first]
    told = await scene.wait_event("emails", "OtherOperator")
    assert f"the operator of Lease {first} looks after this JobQueue" in told
    before = await scene.get("Deployment", "emails", "apps/v1")
    await scene.queue("emails").add("hello", {})
    await scene.wait("emails", "has counted", lambda seen: seen["status"]["counts"]["waiting"] == 1, seconds=30)
    after = await scene.get("Deployment", "emails", "apps/v1")
    assert before and after and after["metadata"]["generation"] == before["metadata"]["generation"]
    assert await looks_after() == first

    ending = two.processes[0 if first.endswith("/one") else 1]
    ending.signal(signal.SIGKILL)
    await ending.ended()

    async def taken_over() -> bool:
        return await looks_after() == other

    await soon("the other one looks after it", taken_over, seconds=60)
    account = await scene.get("ServiceAccount", "emails", "v1")
    assert account and account["metadata"]["ownerReferences"][0]["kind"] == "JobQueue"
