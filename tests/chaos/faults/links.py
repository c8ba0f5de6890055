"""Links between workers and Redis that break, lag, or die in silence."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from crewline.redis.connection import COMMAND_TIMEOUT_SECONDS
from crewline.wire.text import text

from tests.chaos.faults.base import Fault
from tests.chaos.ledger import Ledger
from tests.chaos.scene import Form, Scene
from tests.chaos.waiting import until


class _Link(Fault):
    proxied = True
    calls = 6

    async def hit(self, scene: Scene, attribute: str) -> None:
        assert scene.proxy
        before = scene.proxy.hits
        setattr(scene.proxy, attribute, self.calls)
        at = time.monotonic()
        await until(partial(self._enough, scene, before + self.calls), "calls to hit", scene.form.span_seconds + 60)
        setattr(scene.proxy, attribute, 0)
        if scene.proxy.hits > before:
            scene.struck(at=at)
            await scene.mark()

    @staticmethod
    async def _enough(scene: Scene, hits: int) -> bool:
        assert scene.proxy
        return scene.proxy.hits >= hits or await scene.drained()


class RequestCut(_Link):
    name = "link cut within a request"
    twice_because = "never: Redis does not carry out half a call"

    async def strike(self, scene: Scene) -> None:
        await self.hit(scene, "cut_requests")


class ReplyCut(_Link):
    name = "link cut before the reply"
    twice_because = "never: the repeated call is refused by the lease token"

    async def strike(self, scene: Scene) -> None:
        await self.hit(scene, "cut_replies")

    def recovers_within(self, form: Form) -> float:
        # the repeated call brings what the lost one fetched: nothing waits for a lease to end
        return form.lease_seconds * 1.5


class Reset(_Link):
    name = "all links reset"
    twice_because = "never: as a cut reply"

    async def strike(self, scene: Scene) -> None:
        assert scene.proxy
        if scene.proxy.reset_all():
            scene.struck()
            await scene.mark()


class Latency(_Link):
    name = "latency spikes (0.25 s each way)"
    twice_because = "never: renewals come in time"

    async def strike(self, scene: Scene) -> None:
        assert scene.proxy
        scene.proxy.latency_seconds = 0.25
        at = time.monotonic()
        await asyncio.sleep(1.5)
        scene.proxy.latency_seconds = 0.0
        scene.struck(at=at)
        await scene.mark()


class BlackHole(_Link):
    name = "links dead without a reset"
    twice_because = "never: the renewal gives a silent link up within a third of the lease"

    async def strike(self, scene: Scene) -> None:
        assert scene.proxy
        if scene.proxy.black_hole():
            scene.struck()
            await scene.mark()

    def fills_later_by(self, form: Form) -> float:
        # a read that waits for jobs on a dead link blocks, and is given up when its answer is overdue
        return 2 * min(form.lease_seconds / 3, COMMAND_TIMEOUT_SECONDS)


class LateDelivery(_Link):
    name = "links that stall, then deliver"
    twice_because = "never: what comes after its repeat leases nothing, and settles nothing twice"

    async def strike(self, scene: Scene) -> None:
        assert scene.proxy
        deliver = scene.proxy.hold()
        scene.struck()
        await scene.mark()
        # longer than a call waits for its answer, so that its repeat is through on a new connection
        await asyncio.sleep(min(scene.form.lease_seconds / 3, COMMAND_TIMEOUT_SECONDS) + 0.5)
        deliver()

    async def verify(self, scene: Scene, ledger: Ledger, ids: list[str]) -> list[str]:
        events = await scene.queue.redis.xrange(scene.queue.keys.events)
        stalled = [text(entry[b"jobId"]) for _, entry in events if entry[b"event"] == b"stalled"]
        return [f"{len(stalled)} jobs were leased for nobody: {stalled[:5]}"] if stalled else []
