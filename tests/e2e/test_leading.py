"""Several operators: one leads and alone writes, and another follows it soon, however it ends."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from crewline import Queue

from tests.e2e.inside import Inside
from tests.e2e.operators import LEASE, Operators, Process, door, operators, soon
from tests.e2e.scene import Object, until

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: From a kill to the next one in the lead.
KILLED_SECONDS = 10.0
#: From SIGTERM to the next one in the lead.
STOPPED_SECONDS = 3.0
ROUNDS = 4


@pytest_asyncio.fixture(loop_scope="session")
async def several(inside: Inside, tmp_path: Path) -> AsyncIterator[Operators]:
    async with operators(inside, tmp_path) as running:
        yield running


async def scaled(several: Operators, name: str) -> float:
    """Have a queue at zero get a job; when its Deployment was seen to ask for a worker."""
    scene = several.inside.scene
    await scene.queue(name).add("hello", {})
    await soon("it is scaled", lambda: scene.replicas(name))
    return time.monotonic()


async def written_by_operators(several: Operators) -> dict[str, str]:
    """The versions of all that only operators write here, and how often Redis was written to."""
    scene = several.inside.scene
    jobqueues = await scene.kube.list("crewline.dev/v1alpha1", "JobQueue", scene.namespace)
    deployments = await scene.kube.list("apps/v1", "Deployment", scene.namespace)
    events = await scene.kube.list("v1", "Event", scene.namespace)
    ours = [each for each in events if each["source"].get("component") == "crewline-operator"]
    objects = [*jobqueues, *ours, await several.lease()]
    versions = {each["metadata"]["uid"]: each["metadata"]["resourceVersion"] for each in objects}
    # Controllers write its status, the operator its spec.
    versions |= {each["metadata"]["uid"]: str(each["metadata"]["generation"]) for each in deployments}
    keys = await contents(scene.queue("emails"))
    return versions | keys


async def contents(queue: Queue) -> dict[str, str]:
    """Everything in Redis. Not as it dumps it: a hash's fields have no order."""
    redis = queue.redis
    reads: dict[bytes, Callable[[bytes], Awaitable[Any]]] = {
        b"string": redis.get,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"hash": redis.hgetall,
        b"set": redis.smembers,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
        b"stream": redis.xrange,
    }
    found: dict[str, str] = {}
    async for key in redis.scan_iter(count=1000):
        seen = await reads[await redis.type(key)](key)
        found[repr(key)] = repr(
            sorted(seen.items()) if isinstance(seen, dict) else sorted(seen) if isinstance(seen, set) else seen
        )
    return found


async def test_of_two_that_start_at_once_one_leads_and_the_other_knows_all_and_writes_nothing(
    several: Operators,
) -> None:
    inside, scene = several.inside, several.inside.scene
    await scene.apply(inside.jobqueue("emails"))
    first, second = await several.start(), await several.start()
    await scene.wait_condition("emails", "RedisReachable", "Connected")
    holder = (await several.lease())["spec"]["holderIdentity"]
    assert [each.identity for each in (first, second) if each.identity] == [holder]
    leader, standby = (first, second) if first.identity else (second, first)

    for process, leads in ((leader, "1.0"), (standby, "0.0")):
        assert (await process.http("/readyz"))[0] == 200
        assert f"crewline_operator_leader {leads}" in (await process.http("/metrics"))[1]
    # Two that told of a queue would be counted twice.
    assert 'jobqueue="emails"' in (await leader.http("/metrics"))[1]
    assert 'jobqueue="emails"' not in (await standby.http("/metrics"))[1]

    async def pollers() -> list[Object]:
        clients = await scene.queue("emails").redis.client_list()
        return [each for each in clients if each["name"] == "crewline-operator"]

    await until("both read the queue", pollers, lambda seen: len(seen) >= 2)
    assert await scene.wait_event(LEASE, "LeaderElection", "Lease") == f"{holder} became leader"

    leader.signal(signal.SIGSTOP)
    before, looked = await written_by_operators(several), await reconciles(standby)
    job = await scene.queue("emails").add("hello", {})
    await soon("the standby has looked at it", lambda: reconciles(standby, more_than=looked))
    after = await written_by_operators(several)
    # But for what the producer has written.
    changed = {key for key in before | after if before.get(key) != after.get(key)}
    assert {key for key in changed if "bull:emails:" not in key} == set()
    assert await job.state() == "waiting"
    await soon("it leads, and scales at once", lambda: scene.replicas("emails"))


async def reconciles(process: Process, more_than: int = -1) -> int:
    """How many JobQueues it has looked at; 0 if not that many."""
    _, text = await process.http("/metrics")
    found = re.findall(r'^crewline_reconciles_total\{kind="JobQueue",result="success"\} (\d+)', text, re.MULTILINE)
    count = sum(map(int, found))
    return count if count > more_than else 0


async def test_another_leads_within_10_s_of_the_kill_of_the_leader_and_does_its_work_at_once(
    several: Operators,
) -> None:
    inside, scene = several.inside, several.inside.scene
    await scene.apply(*(inside.jobqueue(f"q{number}") for number in range(ROUNDS)))
    leader, _ = await several.start(), await several.start()
    assert leader.identity
    took = []
    for number in range(ROUNDS):
        await scene.wait_condition(f"q{number}", "RedisReachable", "Connected")
        leader.signal(signal.SIGKILL)
        killed_at = time.monotonic()
        await several.start()
        leader = await several.next_leader(leader)
        took.append(time.monotonic() - killed_at)
        await scaled(several, f"q{number}")
        print(f"took over {took[-1]:.2f} s after the kill, scaled a queue {time.monotonic() - killed_at:.2f} s after")
    assert max(took) <= KILLED_SECONDS, took


async def test_another_leads_within_3_s_when_the_leader_is_asked_to_end(several: Operators) -> None:
    inside, scene = several.inside, several.inside.scene
    await scene.apply(inside.jobqueue("emails"))
    leader, _ = await several.start(), await several.start()
    took = []
    for _ in range(ROUNDS):
        leader.signal(signal.SIGTERM)
        asked_at = time.monotonic()
        earlier, leader = leader, await several.next_leader(leader)
        took.append(time.monotonic() - asked_at)
        print(f"took over {took[-1]:.2f} s after SIGTERM")
        assert await earlier.ended() == 0
        assert "the Lease is released" in earlier.log()
        await several.start()
    assert max(took) <= STOPPED_SECONDS, took


async def test_a_leader_that_was_stopped_past_its_lease_writes_nothing_when_it_goes_on_and_ends(
    several: Operators,
) -> None:
    inside, scene = several.inside, several.inside.scene
    await scene.apply(inside.jobqueue("emails"), inside.jobqueue("letters"))
    stopped, _ = await several.start(), await several.start()
    for name in ("emails", "letters"):
        await scene.wait_condition(name, "RedisReachable", "Connected")
    stopped.signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    leader = await several.next_leader(stopped)
    print(f"took over {time.monotonic() - stopped_at:.2f} s after the stop")
    # Work for whoever believes that it leads, and nobody else goes on meanwhile whose writes could be taken for its.
    leader.signal(signal.SIGSTOP)
    await scene.queue("emails").add("hello", {})
    await scene.apply(inside.jobqueue("letters", paused=True))
    before = await written_by_operators(several)

    stopped.signal(signal.SIGCONT)
    assert await stopped.ended() == 1
    assert "not leading any more" in stopped.log()
    assert await written_by_operators(several) == before
    leader.signal(signal.SIGCONT)
    await soon("somebody scales it", lambda: scene.replicas("emails"))


async def test_a_leader_that_does_not_reach_the_api_server_stops_writing_and_leads_again_when_it_is_back(
    several: Operators, tmp_path: Path
) -> None:
    inside, scene = several.inside, several.inside.scene
    await scene.apply(inside.jobqueue("emails"))
    async with door(inside, tmp_path) as (way, kubeconfig):
        leader = await several.start(kubeconfig)
        await scene.wait_condition("emails", "RedisReachable", "Connected")
        await way.close()
        closed_at = time.monotonic()
        assert await leader.ended() == 1
        print(f"ended {time.monotonic() - closed_at:.2f} s after the API server went")
        assert "could not be renewed for 6 s" in leader.log()
        await scene.queue("emails").add("hello", {})

        await way.open()
        again = await several.start(kubeconfig)
        await soon("it is scaled", lambda: scene.replicas("emails"))
        assert again.identity == (await several.lease())["spec"]["holderIdentity"]


async def test_a_leader_lives_through_a_few_seconds_without_the_api_server(several: Operators, tmp_path: Path) -> None:
    inside, scene = several.inside, several.inside.scene
    await scene.apply(inside.jobqueue("emails"))
    async with door(inside, tmp_path) as (way, kubeconfig):
        leader = await several.start(kubeconfig)
        await scene.wait_condition("emails", "RedisReachable", "Connected")
        await way.close()
        await soon("a renewal has failed", lambda: failed(leader))
        await way.open()
        renewed = (await several.lease())["spec"]["renewTime"]

        async def is_renewed() -> bool:
            return (await several.lease())["spec"]["renewTime"] != renewed

        await soon("the Lease is renewed", is_renewed)
        await scaled(several, "emails")
        assert leader.popen.poll() is None


async def failed(leader: Process) -> bool:
    return "the Lease could not be renewed" in leader.log()
