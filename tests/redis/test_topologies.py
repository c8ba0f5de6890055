"""The whole path (add, work, fail, follow) against what Redis comes as: TLS, an ACL user, Sentinel, a cluster."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from crewline import DeadLetters, FlowJob, InvalidOption, Job, JobFailed, Queue, Worker
from crewline.redis.completed import Access, complete_url
from crewline.redis.connection import UNAVAILABLE
from crewline.redis.topology import check_letters_slot, slot_of

from tests import redis_server
from tests.certificates import write_certificates
from tests.redis.sockets import connections
from tests.redis.topologies import cluster as cluster
from tests.redis.topologies import cluster_info, knows_all, start_sentinel, wait_until


async def _exercise(url: str, prefix: str = "bull") -> None:
    """Adds, works, retries, fails, follows, repeats; every part of the engine talks to Redis here."""

    # none that an earlier test has dropped
    gc.collect()
    others = connections()

    async def handle(job: Job) -> Any:
        if job.name == "bad":
            raise ValueError("as told")
        if job.name == "forks":
            return others, connections(), seen_by_a_child()
        await job.progress(50)
        await job.log("line")
        return sorted((await job.children_values()).values()) or job.data

    async with _worker(url, prefix, handle), Queue("emails", redis=url, prefix=prefix) as queue:
        jobs = await queue.add_bulk(("n", i) for i in range(300))
        assert await asyncio.gather(*(job.result(timeout=20) for job in jobs)) == list(range(300))
        bad = await queue.add("bad", 1, attempts=2, backoff=0.05)
        with pytest.raises(JobFailed, match="as told"):
            await bad.result(timeout=20)
        (letter,) = await DeadLetters(queue).list()
        assert letter.job_id == bad.id
        flow = await queue.add_flow(FlowJob("parent", children=[FlowJob("child", 7)]))
        assert await flow.job.result(timeout=20) == [7]
        assert await (await queue.add("later", 2, delay=0.2, priority=3)).result(timeout=20) == 2
        assert [each["slots"] for each in await queue.workers()] == [20]
        before, here, there = await (await queue.add("forks", 1)).result(timeout=20)
        assert there == before < here, "connections that a child shares with its worker"
        await queue.schedule("tick", "n", 1, every=60, limit=1)
        assert await jobs[0].state() == "completed" and await jobs[0].logs() == ["line"]
        assert await queue.retry_all() == 1
        assert len(await queue.clean("completed")) >= 300


def seen_by_a_child() -> int:
    """How many connections a child has that is forked here."""
    pid = os.fork()
    if pid == 0:
        os._exit(connections())
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@contextlib.asynccontextmanager
async def _worker(url: str, prefix: str, handle: Callable[[Job], Any]) -> AsyncIterator[Worker]:
    worker = Worker("emails", handle, redis=url, prefix=prefix, concurrency=20, lease_seconds=2)
    running = asyncio.create_task(worker.run())
    try:
        await asyncio.wait_for(worker.wait_ready(), 20)
        yield worker
    finally:
        await worker.stop(grace_seconds=1)
        await asyncio.wait_for(running, 20)


async def test_tls_with_a_ca_of_ones_own(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    tls_port = redis_server.free_port()
    options = ("--tls-port", str(tls_port), "--tls-cert-file", "redis.crt", "--tls-key-file", "redis.key",
               "--tls-ca-cert-file", "ca.crt", "--tls-auth-clients", "no")  # fmt: skip
    with redis_server.start(tmp_path, *options):
        await _exercise(f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={tmp_path / 'ca.crt'}")
        async with Queue("emails", redis=f"rediss://127.0.0.1:{tls_port}/0") as untrusting:
            with pytest.raises(redis.ConnectionError, match="certificate"):
                await untrusting.metrics()


async def test_an_acl_user_that_may_touch_only_its_own_keys(tmp_path: Path) -> None:
    with redis_server.start(tmp_path) as server:
        admin = redis.Redis(port=server.port)
        admin.execute_command(
            "ACL", "SETUSER", "worker", "on", ">se:cret@1", "~bull:*", "~bull-crewline:*", "+@all", "-@admin",
            "-@dangerous", "+info", "+client",
        )  # fmt: skip
        admin.close()
        await _exercise(f"redis://worker:se%3Acret%401@127.0.0.1:{server.port}/0")


async def test_a_cluster_with_a_tagged_prefix(cluster: list[redis_server.RedisServer]) -> None:
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    with pytest.raises(InvalidOption, match=r"prefix='\{bull\}'"):
        Queue("emails", redis=url)
    await _exercise(url, prefix="{bull}")
    # no key outside the queue's own slot
    held = [redis.Redis(port=node.port) for node in cluster]
    sizes = [client.dbsize() for client in held]
    for client in held:
        client.close()
    assert sorted(size > 0 for size in sizes) == [False, False, True]


async def test_a_cluster_whose_nodes_were_away_is_used_again_when_they_are_back(tmp_path: Path, until: Any) -> None:
    options = ("--cluster-enabled", "yes", "--appendonly", "yes")
    node = redis_server.start(tmp_path, *options)
    try:
        with contextlib.closing(redis.Redis(port=node.port)) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: b"cluster_state:ok" in cluster_info(client))
        url = f"redis+cluster://127.0.0.1:{node.port}"
        async with Queue("emails", redis=url, prefix="{bull}", timeout_seconds=2) as queue:
            job = await queue.add("before", 1)
            waiting = asyncio.create_task(job.result())
            await until(lambda: queue._results._reader)
            node.stop()
            seen: set[type[Exception]] = set()
            for _ in range(5):
                with pytest.raises(UNAVAILABLE) as failure:
                    await queue.add("during", 2)
                seen.add(failure.type)
            # what redis-py tells of a cluster none of whose nodes answers is no RedisError
            assert any(not issubclass(kind, (redis.RedisError, OSError)) for kind in seen), seen
            node = redis_server.start(tmp_path, *options, port=node.port)
            deadline = time.monotonic() + 20
            while True:
                assert time.monotonic() < deadline
                with contextlib.suppress(*UNAVAILABLE):
                    await queue.add("after", 3, job_id="after")
                    break
            assert (await queue.metrics()).waiting >= 2
            # and so is the reader of events
            await queue.cancel(job.id, "as told")
            with pytest.raises(JobFailed, match="as told"):
                await asyncio.wait_for(waiting, 20)
    finally:
        node.stop()


async def test_a_call_over_a_cluster_that_is_given_up_is_not_sent_again_behind_its_callers_back(
    cluster: list[redis_server.RedisServer],
) -> None:
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    async with Queue("emails", redis=url, prefix="{bull}", timeout_seconds=1) as queue:
        await queue.add("before", 1)
        for node in cluster:
            with contextlib.closing(redis.Redis(port=node.port)) as client:
                if client.dbsize():
                    break
        node.process.send_signal(signal.SIGSTOP)
        # later than the call is given up, sooner than a connection would be that was made to repeat it
        asyncio.get_running_loop().call_later(1.4, node.process.send_signal, signal.SIGCONT)
        try:
            with pytest.raises(UNAVAILABLE):
                await queue.add("during", 2)
        finally:
            node.process.send_signal(signal.SIGCONT)
        with contextlib.closing(redis.Redis(port=node.port)) as client:
            # carried out after all that was sent to it while it stood still
            assert client.llen("{bull}:emails:wait") == 2


async def test_a_flow_over_two_slots_is_refused_before_anything_is_sent(
    cluster: list[redis_server.RedisServer],
) -> None:
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in cluster)
    flow = FlowJob("book", children=[FlowJob("page", children=[FlowJob("line", queue="{other}")])])
    async with Queue("{words}", redis=url) as queue:
        with pytest.raises(
            InvalidOption, match=r"^book > page > line: queue '\{other\}' is in another slot .* prefix="
        ):
            await queue.add_flow(flow)
        await queue.add_flow(FlowJob("book", children=[FlowJob("page", queue="more-{words}")]))
    sizes = []
    for node in cluster:
        with contextlib.closing(redis.Redis(port=node.port)) as client:
            sizes += [key for key in client.keys("*") if b"other" in key]
    assert sizes == []


CLUSTER = "redis+cluster://n1:6379"


@pytest.mark.parametrize(
    ("prefix", "queue", "letters"),
    [("bull", "{a}", "{b}-dlq"), ("bull", "{a}", "graveyard"), ("bull", "{a}", "a-dlq")],
)
def test_a_dead_letter_queue_in_another_slot_is_refused(prefix: str, queue: str, letters: str) -> None:
    with pytest.raises(InvalidOption, match=r"dead_letter_queue .* another slot .* use '\{a\}-dlq'"):
        Queue(queue, redis=CLUSTER, prefix=prefix, dead_letter_queue=letters)
    with pytest.raises(InvalidOption, match="another slot"):
        check_letters_slot(CLUSTER, prefix, queue, letters)
    # one server has no slots
    check_letters_slot("redis://n1:6379", prefix, queue, letters)
    check_letters_slot(CLUSTER, prefix, queue, "")


@pytest.mark.parametrize(
    ("prefix", "queue"),
    [("bull", "emails"), ("{}bull", "emails"), ("bull", "{}"), ("b{ull", "ema}ils"), ("b{ull", "emails"), ("}b{", "e")],
)
def test_a_queue_whose_keys_are_in_many_slots_is_refused_whatever_braces_it_has(prefix: str, queue: str) -> None:
    assert slot_of(prefix, queue) is None
    with pytest.raises(InvalidOption, match="must share a slot"):
        Queue(queue, redis=CLUSTER, prefix=prefix)


@pytest.mark.parametrize(
    ("prefix", "queue", "letters"),
    [("{bull}", "a", "b"), ("bull", "{a}", "{a}-dlq"), ("bull", "x-{a}", "y-{a}"), ("{b}{c}", "{a}", "q")],
)
def test_what_shares_a_tag_is_accepted(prefix: str, queue: str, letters: str) -> None:
    assert slot_of(prefix, queue) == slot_of(prefix, letters) is not None
    Queue(queue, redis=CLUSTER, prefix=prefix, dead_letter_queue=letters)


async def test_sentinel_takes_a_worker_to_the_new_master_and_is_asked_on_few_connections(
    tmp_path: Path, until: Any
) -> None:
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(redis_server.start(tmp_path / "master"))
        replica = stack.enter_context(
            redis_server.start(tmp_path / "replica", "--replicaof", "127.0.0.1", str(master.port))
        )
        sentinels = [stack.enter_context(start_sentinel(tmp_path / f"sentinel{n}", master.port)) for n in range(3)]
        guard = stack.enter_context(contextlib.closing(redis.Redis(port=sentinels[0], decode_responses=True)))
        wait_until(lambda: knows_all(guard))
        url = "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in sentinels) + "/main/0"
        await _exercise(url)

        seen: set[int] = set()
        asked: set[int] = set()

        async def handle(job: Job) -> None:
            # each of those that run at once has a connection to the master
            await asyncio.gather(*(job.progress(n) for n in range(3)))
            asked.update(map(connections, sentinels))
            seen.add(job.data)

        async with _worker(url, "bull", handle), Queue("emails", redis=url) as queue:
            await queue.add_bulk(("before", -n) for n in range(40))
            # what was added above is there, too
            await until(lambda: seen.issuperset(range(-39, 1)))
            # the guard's own, and one for each client of the worker and of this queue that asks just now
            assert max(asked) <= 7
            await until(lambda: [connections(port) for port in sentinels] == [1, 0, 0])
            guard.execute_command("SENTINEL", "FAILOVER", "main")
            wait_until(
                lambda: guard.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1] == str(replica.port)
            )
            deadline = time.monotonic() + 30
            while 2 not in seen:
                assert time.monotonic() < deadline
                with contextlib.suppress(redis.RedisError, OSError):
                    await queue.add("after", 2, job_id="after")
                await asyncio.sleep(0.2)


async def test_sentinels_and_their_master_have_passwords_of_their_own(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        master = stack.enter_context(redis_server.start(tmp_path / "master"))
        with contextlib.closing(redis.Redis(port=master.port)) as admin:
            admin.config_set("requirepass", "a/b")
        guarded = start_sentinel(tmp_path / "sentinel", master.port, "sentinel auth-pass main a/b", password="q&1")
        port = stack.enter_context(guarded)
        url = f"redis+sentinel://127.0.0.1:{port}/main/0"
        await _exercise(complete_url(url, Access(password="a/b", sentinel_password="q&1")))
        async with Queue("emails", redis=complete_url(url, Access(password="a/b"))) as queue:
            with pytest.raises(UNAVAILABLE):
                await queue.metrics()
