"""Whether the operator of another Lease is alive: as long as that Lease changes, and a while after."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from crewline_operator.kube.operators import GONE_SECONDS, LOOK_SECONDS, MOST, OtherOperators

from tests.unit.operator.kube.serving import served


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def lease(version: int, holder: str = "pod-a", seconds: int = 8) -> dict[str, Any]:
    spec = {"holderIdentity": holder, "leaseDurationSeconds": seconds}
    return {"metadata": {"resourceVersion": str(version), "uid": "u"}, "spec": spec}


async def test_one_is_alive_until_its_lease_was_seen_unchanged_for_long_enough() -> None:
    clock, asked = Clock(), 0
    told: dict[str, Any] | None = lease(1)

    async def answer(request: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        assert request.path == "/apis/coordination.k8s.io/v1/namespaces/ops/leases/two"
        return web.json_response(told) if told is not None else web.json_response({"code": 404}, status=404)

    async with served(answer) as api:
        others = OtherOperators(api, clock)
        for version in range(1, 5):
            told = lease(version)
            for _ in range(3):
                assert await others.is_alive("ops/two")
            clock.now += GONE_SECONDS - 1
        assert asked == 4, "many JobQueues ask for one look"
        clock.now += 1
        assert not await others.is_alive("ops/two")
        # It is back; then it gives up the Lease, which nobody takes; then that is deleted.
        for now in (lease(9), lease(10, holder="", seconds=1), None):
            told = now
            clock.now += LOOK_SECONDS
            assert await others.is_alive("ops/two"), "a standby is about to take it"
            clock.now += GONE_SECONDS
            assert not await others.is_alive("ops/two")


async def test_a_long_lease_is_waited_for_longer() -> None:
    clock = Clock()

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(lease(1, seconds=60))

    async with served(answer) as api:
        others = OtherOperators(api, clock)
        for seconds, alive in ((0, True), (119, True), (1, False)):
            clock.now += seconds
            assert await others.is_alive("ops/two") is alive


async def test_one_whose_lease_may_not_be_read_is_taken_for_alive() -> None:
    clock, asked = Clock(), 0

    async def answer(_: web.Request) -> web.Response:
        nonlocal asked
        asked += 1
        return web.json_response({"code": 403, "reason": "Forbidden"}, status=403)

    async with served(answer) as api:
        others = OtherOperators(api, clock)
        for number in range(2 * MOST):
            assert await others.is_alive(f"ops/n{number}")
            assert await others.is_alive(f"ops/n{number}")
        assert asked == 2 * MOST
        clock.now += 10 * GONE_SECONDS
        assert await others.is_alive("ops/n0")
        assert len(others._seen) <= MOST
