"""What the operator does at a Redis that is more than one server, or asks for more than a password."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import redis as sync_redis
from crewline import Queue
from crewline.redis.completed import Access, complete_url
from crewline.redis.connection import connect
from crewline_operator.effects.actions import Claim, Follow, GiveUpClaim, KeepClaim, Pause, Sweep
from crewline_operator.model.attention import Attention
from crewline_operator.model.key import Key
from crewline_operator.model.note import Note
from crewline_operator.model.owner import Owner
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.redis.answers import ANSWER_MAX_BYTES, AnswerTooLarge, connect_bounded
from crewline_operator.redis.endpoint import Certificate, Endpoint
from crewline_operator.redis.poller import Poller
from crewline_operator.redis.pollers import Pollers
from crewline_operator.redis.reading import Target
from crewline_operator.redis.wakes import SLOTS_MAX

from tests import redis_server
from tests.certificates import write_certificates
from tests.redis.sleepers import asleep
from tests.redis.test_operator_executor import EMAILS, Operator
from tests.redis.test_operator_executor import stranger as stranger
from tests.redis.topologies import cluster as cluster
from tests.redis.topologies import cluster_info, knows_all, master_port, start_sentinel, wait_until

Until = Callable[..., Awaitable[Any]]
NOTE = Note("Normal", "QueuePaused", "as told")


@pytest_asyncio.fixture
async def pollers() -> AsyncIterator[Pollers]:
    pollers = Pollers(lambda _: None, 0.05)
    yield pollers
    await pollers.close()


def key(name: str) -> Key:
    return Key("JobQueue", "shop", name)


def target(name: str, prefix: str = "bull") -> Target:
    return Target(prefix, name, f"{name}-dlq")


def waiting(poller: Poller, name: str) -> int | str:
    """How many jobs were seen to wait, or the fault's reason."""
    reading = poller.reading(key(name))
    if reading.snapshot is not None:
        return reading.snapshot.waiting
    return reading.fault.reason if reading.fault is not None else ""


async def test_tls_with_a_clients_certificate_and_an_acl_user(pollers: Pollers, tmp_path: Path, until: Until) -> None:
    write_certificates(tmp_path)
    port = redis_server.free_port()
    options = ("--tls-port", str(port), "--tls-cert-file", "redis.crt", "--tls-key-file", "redis.key",
               "--tls-ca-cert-file", "ca.crt", "--tls-auth-clients", "yes")  # fmt: skip
    ca = (tmp_path / "ca.crt").read_text()
    shown = Certificate((tmp_path / "client.crt").read_bytes(), (tmp_path / "client.key").read_bytes())
    url = complete_url(f"rediss://127.0.0.1:{port}/0", Access(username="app", password="s:1", ssl_ca_data=ca))
    with redis_server.start(tmp_path, *options) as server:
        with sync_redis.Redis(port=server.port) as admin:
            admin.execute_command("ACL", "SETUSER", "app", "on", ">s:1", "~*", "&*", "+@all")
        endpoint = Endpoint(url, "shown", certificate=shown)
        async with asleep(endpoint, "emails", added_by=server.url) as sleepers:
            await until(lambda: sleepers.waiting("emails") == 0)
            await sleepers.add("emails")
            await until(lambda: sleepers.waiting("emails") == 1)
        strange = complete_url(f"rediss://127.0.0.1:{port}/0", Access(username="app", password="s:1"))
        # one without a certificate may be cut off before it has read why
        for name, wrong, reasons in (
            ("none", Endpoint(url, "shown"), ("RedisTLSFailed", "RedisUnreachable")),
            ("strange", Endpoint(strange, "shown", certificate=shown), ("RedisTLSFailed",)),
        ):
            poller = pollers.watch(key(name), wrong, target("emails"))
            await until(lambda: waiting(poller, name) in reasons)  # noqa: B023


async def test_queues_of_the_same_account_share_a_client_and_a_new_password_is_a_new_one(
    pollers: Pollers, tmp_path: Path, until: Until
) -> None:
    with redis_server.start(tmp_path) as server, sync_redis.Redis(port=server.port) as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">old", ">new", "~*", "&*", "+@all")

        def at(password: str, digest: str) -> Endpoint:
            return Endpoint(server.url.replace("//", f"//app:{password}@"), "shown", digest)

        def clients() -> int:
            return sum(1 for each in admin.client_list() if each["name"] == "crewline-operator")

        first = pollers.watch(key("a"), at("old", "1"), target("a"))
        assert pollers.watch(key("b"), at("old", "2"), target("b")) is first
        await until(lambda: waiting(first, "a") == waiting(first, "b") == 0)
        assert clients() == 1

        second = pollers.watch(key("a"), at("new", "1"), target("a"))
        assert second is not first and first.reading(key("a")).snapshot is None
        assert pollers.watch(key("b"), at("new", "2"), target("b")) is second
        await until(lambda: waiting(second, "a") == waiting(second, "b") == 0)
        await until(lambda: clients() == 1)
        admin.execute_command("ACL", "SETUSER", "app", "<old")
        admin.execute_command("CLIENT", "KILL", "USER", "app")
        read = second.reading(key("a")).snapshot
        await until(lambda: second.reading(key("a")).snapshot not in (read, None))


async def test_sentinels_take_the_operator_to_the_new_master(tmp_path: Path, until: Until) -> None:
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(redis_server.start(tmp_path / "master"))
        replica = stack.enter_context(
            redis_server.start(tmp_path / "replica", "--replicaof", "127.0.0.1", str(master.port))
        )
        sentinels = [stack.enter_context(start_sentinel(tmp_path / f"sentinel{n}", master.port)) for n in range(3)]
        guard = stack.enter_context(contextlib.closing(sync_redis.Redis(port=sentinels[0], decode_responses=True)))
        wait_until(lambda: knows_all(guard))
        url = "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in sentinels) + "/main/0"
        async with asleep(url, "emails") as sleepers:
            await until(lambda: sleepers.waiting("emails") == 0)
            await sleepers.add("emails")
            await until(lambda: sleepers.waiting("emails") == 1)
            with sync_redis.Redis(port=replica.port) as copy:
                await until(lambda: copy.llen("bull:emails:wait") == 1, 20)
            guard.execute_command("SENTINEL", "FAILOVER", "main")
            await until(lambda: master_port(guard) == replica.port, 20)
            master.stop()

            async def added() -> bool:
                with contextlib.suppress(sync_redis.RedisError, OSError):
                    await sleepers.add("emails", job_id="after")
                    return True
                return False

            await until(added, 30)
            await until(lambda: sleepers.waiting("emails") == 2, 30)
            await sleepers.add("emails")
            await until(lambda: sleepers.waiting("emails") == 3)


async def test_a_master_that_sentinels_tell_of_is_not_let_answer_without_end(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(redis_server.start(tmp_path / "master"))
        sentinel = stack.enter_context(start_sentinel(tmp_path / "sentinel", master.port))
        client = connect_bounded(f"redis+sentinel://127.0.0.1:{sentinel}/main/0")
        await client.set("large", b"x" * (ANSWER_MAX_BYTES + 1))
        with pytest.raises(AnswerTooLarge):
            await client.get("large")
        await client.aclose()


NAMES = ["{a}", "{b}", "{c}", "{d}", "{e}"]


async def test_queues_all_over_a_cluster_are_read_together(
    cluster: list[redis_server.RedisServer], pollers: Pollers, until: Until
) -> None:
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    for name in NAMES:
        poller = pollers.watch(key(name), Endpoint(url, "shown"), target(name))
    await until(lambda: all(waiting(poller, name) == 0 for name in NAMES))
    for number, name in enumerate(NAMES):
        async with Queue(name, redis=url) as queue:
            await queue.add_bulk(("a", n) for n in range(number))
    await until(lambda: all(waiting(poller, name) == number for number, name in enumerate(NAMES)))


async def test_what_is_too_large_on_a_node_is_told_of_its_queue_alone(
    cluster: list[redis_server.RedisServer], pollers: Pollers, until: Until
) -> None:
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    names = [f"{{{name}}}" for name in "abcdef"]
    async with connect(url) as client:
        await client.lpush(f"bull:{names[0]}:wait", b"x" * (ANSWER_MAX_BYTES + 1))
        for name in names:
            poller = pollers.watch(key(name), Endpoint(url, "shown"), target(name))
        await until(lambda: [waiting(poller, name) for name in names] == ["RedisTooLarge", *[0] * 5])
        await client.delete(f"bull:{names[0]}:wait")
    await until(lambda: waiting(poller, names[0]) == 0)


async def test_queues_of_a_cluster_are_woken_by_what_is_added(
    cluster: list[redis_server.RedisServer], until: Until
) -> None:
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    names = NAMES[:SLOTS_MAX]
    async with asleep(url, *names) as sleepers:
        await until(lambda: all(sleepers.waiting(name) == 0 for name in names))
        for name in names:
            await sleepers.add(name)
            await until(lambda: sleepers.waiting(name) == 1)  # noqa: B023
        # a slot that nobody sleeps in gives its place to another
        sleepers.poller.attend(sleepers.key(names[0]), Attention.STEADY)
        sleepers.sleep(NAMES[-1])
        await until(lambda: sleepers.waiting(NAMES[-1]) == 0)
        await sleepers.add(NAMES[-1])
        await until(lambda: sleepers.waiting(NAMES[-1]) == 1)


async def test_queues_of_one_slot_share_a_read_and_those_of_too_many_slots_are_polled(
    cluster: list[redis_server.RedisServer], until: Until
) -> None:
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    tagged = [f"q{number}-{{tag}}" for number in range(50)]
    async with asleep(url, *tagged) as sleepers:
        await until(lambda: all(sleepers.waiting(name) == 0 for name in tagged))
        await sleepers.add(tagged[-1])
        await until(lambda: sleepers.waiting(tagged[-1]) == 1)
        blocked = []
        for node in cluster:
            with sync_redis.Redis(port=node.port) as client:
                blocked += [each for each in client.client_list() if "b" in each["flags"]]
        assert len(blocked) <= 1
    async with asleep(url, *NAMES, poll_seconds=1.0) as sleepers:
        await until(lambda: all(sleepers.waiting(name) == 0 for name in NAMES))
        for name in NAMES:
            await sleepers.add(name)
        await until(lambda: all(sleepers.waiting(name) == 1 for name in NAMES), 5)


async def test_a_queue_of_a_cluster_is_claimed_paused_and_swept(
    cluster: list[redis_server.RedisServer], stranger: Operator, until: Until
) -> None:
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    me, other = (Owner("c", "shop", name, f"uid-{name}") for name in ("emails", "other"))
    ref = QueueRef(EMAILS, "bull", "{a}")
    await stranger.do(Follow(Endpoint(url, "shown"), target("{a}")))

    def seen() -> Any:
        return stranger.pollers.reading(EMAILS).snapshot

    await until(seen)
    await stranger.do(Claim(ref, me, "shown"))
    await until(lambda: seen() and seen().owner == me)
    await stranger.do(Claim(ref, other, "shown"))
    await stranger.do(KeepClaim(ref, me, "shown"), Pause(ref, True, NOTE), Sweep(ref))
    await until(lambda: seen() and seen().paused)
    await stranger.do(Pause(ref, False, NOTE), Claim(ref, other, "shown", instead_of=me))
    await until(lambda: seen() and seen().owner == other)
    await stranger.do(GiveUpClaim(ref, me), GiveUpClaim(ref, other))
    stranger.pollers.wake(EMAILS)
    await until(lambda: seen() and seen().owner is None)


async def test_a_node_that_is_away_is_the_fault_of_its_own_queues_only(
    cluster: list[redis_server.RedisServer], pollers: Pollers, until: Until
) -> None:
    homes: dict[int, list[str]] = {}
    for number, node in enumerate(cluster):
        with sync_redis.Redis(port=node.port) as client:
            client.config_set("cluster-require-full-coverage", "no")
            slots = {name: client.execute_command("CLUSTER", "KEYSLOT", f"bull:{name}:") for name in NAMES}
        homes[number] = [
            name for name, slot in slots.items() if number * 16384 // 3 <= slot < (number + 1) * 16384 // 3
        ]
    lost = next(number for number, names in homes.items() if 0 < len(names) < len(NAMES))
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    for name in NAMES:
        poller = pollers.watch(key(name), Endpoint(url, "shown"), target(name))
    await until(lambda: all(waiting(poller, name) == 0 for name in NAMES), 20)
    others = [name for name in NAMES if name not in homes[lost]]
    async with contextlib.AsyncExitStack() as stack:
        queues = [await stack.enter_async_context(Queue(name, redis=url)) for name in others]
        for queue in queues:
            await queue.add("a", 1)
        cluster[lost].stop()
        await until(lambda: all(waiting(poller, name) == "RedisUnreachable" for name in homes[lost]), 20)
        for queue in queues:
            await queue.add("a", 1)
        await until(lambda: all(waiting(poller, name) == 2 for name in others), 20)
        assert all(waiting(poller, name) == "RedisUnreachable" for name in homes[lost])


async def test_a_slot_that_nobody_has_is_the_fault_of_its_own_queues_only(
    cluster: list[redis_server.RedisServer], pollers: Pollers, until: Until
) -> None:
    lost, *others = NAMES
    for node in cluster:
        with sync_redis.Redis(port=node.port) as client:
            client.config_set("cluster-require-full-coverage", "no")
            slot = client.execute_command("CLUSTER", "KEYSLOT", f"bull:{lost}:")
            client.execute_command("CLUSTER", "DELSLOTS", slot)
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    for name in NAMES:
        poller = pollers.watch(key(name), Endpoint(url, "shown"), target(name))
    await until(lambda: all(waiting(poller, name) == 0 for name in others), 20)
    assert waiting(poller, lost) == "RedisUnreachable"


async def test_a_replica_that_takes_over_is_found(
    cluster: list[redis_server.RedisServer], pollers: Pollers, tmp_path: Path, until: Until
) -> None:
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")
    with redis_server.start(tmp_path / "replica", *options) as replica, sync_redis.Redis(port=replica.port) as copy:
        with sync_redis.Redis(port=cluster[0].port) as master:
            lost = master.execute_command("CLUSTER", "MYID")
            copy.execute_command("CLUSTER", "MEET", "127.0.0.1", cluster[0].port)
            await until(lambda: b"cluster_state:ok" in cluster_info(copy), 20)
            copy.execute_command("CLUSTER", "REPLICATE", lost)
            await until(lambda: copy.info("replication").get("master_link_status") == "up", 30)
        for name in NAMES:
            poller = pollers.watch(key(name), Endpoint(url, "shown"), target(name))
        await until(lambda: all(waiting(poller, name) == 0 for name in NAMES), 20)
        cluster[0].stop()
        await until(lambda: copy.info("replication")["role"] == "master", 30)
        await until(lambda: all(waiting(poller, name) == 0 for name in NAMES), 30)
        for name in NAMES:
            async with Queue(name, redis=url) as queue:
                await queue.add("a", 1)
        await until(lambda: all(waiting(poller, name) == 1 for name in NAMES), 30)


async def test_a_cluster_that_has_lost_a_node_is_told_and_recovers_alone(
    tmp_path: Path, pollers: Pollers, until: Until
) -> None:
    options = ("--cluster-enabled", "yes", "--appendonly", "yes")
    node = redis_server.start(tmp_path, *options)
    try:
        with contextlib.closing(sync_redis.Redis(port=node.port)) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        poller = pollers.watch(key("{a}"), Endpoint(f"redis+cluster://127.0.0.1:{node.port}", "shown"), target("{a}"))
        await until(lambda: waiting(poller, "{a}") == 0, 20)
        node.stop()
        await until(lambda: waiting(poller, "{a}") == "RedisUnreachable", 20)
        node = redis_server.start(tmp_path, *options, port=node.port)
        await until(lambda: waiting(poller, "{a}") == 0, 30)
        poller.attend(key("{a}"), Attention.ASLEEP)
        await until(lambda: poller._wakes.waits_for(key("{a}")), 40)
    finally:
        node.stop()
