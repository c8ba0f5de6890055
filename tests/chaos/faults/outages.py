"""A Redis that is killed, loses what it had not synced, or refuses writes."""

from __future__ import annotations

import asyncio
import time

from tests import redis_server
from tests.chaos.faults.base import Fault, overlapping
from tests.chaos.ledger import Ledger
from tests.chaos.scene import Scene

#: What Redis is started with so that its data outlive it.
AOF = ("--appendonly", "yes", "--auto-aof-rewrite-percentage", "0", "--appendfsync")


class RedisKilled(Fault):
    name = "Redis killed, AOF always"
    twice_because = "never, while the outage is shorter than what is left of the leases"
    redis_options = (*AOF, "always")

    async def strike(self, scene: Scene) -> None:
        await scene.mark()
        await scene.kill_redis()

    def may_be_handled_twice(self, scene: Scene, ledger: Ledger) -> set[str]:
        # a third of the lease may have passed since it was renewed, and a retry of the renewal takes its time
        allowed = scene.form.lease_seconds / 2
        long = [incident for incident in scene.incidents if incident.until - incident.at > allowed]
        return {job_id for incident in long for job_id in overlapping(ledger, incident)}


class LongOutage(RedisKilled):
    name = "Redis away past the leases, AOF always"
    twice_because = "a check found the lease gone before its worker had taken it again: the job was put back"

    async def strike(self, scene: Scene) -> None:
        await scene.mark()
        await scene.kill_redis(down_seconds=scene.form.lease_seconds * 1.5)


class WritesRefused(RedisKilled):
    name = "Redis refuses writes (read-only)"
    twice_because = "never, while it is shorter than what is left of the leases: results are held and sent again"
    redis_options = ()

    async def strike(self, scene: Scene) -> None:
        await scene.mark()
        at = time.monotonic()
        # the replica of a master that is not there: it keeps its data, answers reads and refuses writes
        await scene.queue.redis.replicaof("127.0.0.1", str(redis_server.free_port()))
        await asyncio.sleep(scene.form.lease_seconds * 0.4)
        await scene.queue.redis.replicaof("NO", "ONE")
        scene.struck(at=at)

    async def verify(self, scene: Scene, ledger: Ledger, ids: list[str]) -> list[str]:
        told = [log.count("does not take our calls") for log in scene.fleet.logs()]
        # one line a state, not one a try
        return [] if 0 < max(told) <= 2 * len(scene.incidents) else [f"workers told of it {told} times"]


class PowerLost(Fault):
    name = "Redis without power, AOF everysec"
    twice_because = "Redis forgot that the job was taken, or had ended: all of its last second"
    redis_options = (*AOF, "everysec")

    async def inject(self, scene: Scene) -> None:
        # what was added in the last second would be lost: no queue can know of it
        await asyncio.sleep(1.2)
        await super().inject(scene)

    async def strike(self, scene: Scene) -> None:
        await scene.mark()
        await scene.kill_redis(power_loss_seconds=1.0)

    def may_be_handled_twice(self, scene: Scene, ledger: Ledger) -> set[str]:
        return {job_id for incident in scene.incidents for job_id in overlapping(ledger, incident)}
