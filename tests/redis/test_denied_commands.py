"""A user that is denied a command while it is at work loses no job by it: each is in a state, whatever was refused."""

from __future__ import annotations

import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
import redis as sync_redis
from crewline import CrewlineError, Dedup, FlowJob, Keep, Queue
from crewline.redis.scripts import Result, source
from redis.exceptions import ResponseError

from tests.redis import touching, touching_changes
from tests.redis.leaks import LISTS, PARTS, SETS
from tests.redis.needs import commands_of
from tests.redis.test_refused_calls import restore, snapshot
from tests.redis.touching import Call
from tests.unit.engine.test_scripts import NAMES

COMMANDS = set().union(*(commands_of(source(name)) for name in NAMES)) - {"TIME"}
CATEGORIES = [
    f"@{name}"
    for name in ("keyspace", "list", "sortedset", "hash", "set", "string", "stream", "read", "write", "fast", "slow")
]
CASES = {case.__name__: case for case in (*touching.CASES, *touching_changes.CASES)}


@pytest.fixture
def admin(redis_url: str) -> Iterator[sync_redis.Redis]:
    with sync_redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", "weak", "reset", "on", ">secret", "~*", "&*", "+@all")
        yield client
        client.execute_command("ACL", "DELUSER", "weak")


def off(client: sync_redis.Redis) -> dict[str, list[str]]:
    """Jobs that are not in exactly one state, each with those that it is in; and what a state holds that is no job."""
    found: dict[str, list[str]] = defaultdict(list)
    jobs: set[str] = set()
    for key in (key.decode() for key in client.keys("bull:*")):
        prefix, queue, suffix = key.split(":", 2)
        base, kind = f"{prefix}:{queue}:", client.type(key)
        if suffix in LISTS:
            for job_id in client.lrange(key, 0, -1):
                found[base + job_id.decode()].append(suffix)
        elif suffix in SETS:
            for job_id in client.zrange(key, 0, -1):
                found[base + job_id.decode()].append(suffix)
        elif kind == b"hash" and suffix != "meta" and not suffix.startswith(("dn:", "metrics:")):
            schedule = suffix.startswith("repeat:") and suffix.count(":") == 1
            if not schedule and suffix.rpartition(":")[2] not in PARTS:
                jobs.add(key)
    return {key: found[key] for key in sorted({*jobs, *found}) if len(found[key]) != 1 or key not in jobs}


def used(client: sync_redis.Redis) -> list[str]:
    """The commands that scripts have used since the last reset."""
    return sorted(COMMANDS & {name.removeprefix("cmdstat_").upper() for name in client.info("commandstats")})


@pytest.mark.parametrize("name", CASES)
async def test_no_job_is_in_no_state_or_in_two(admin: sync_redis.Redis, redis_url: str, name: str) -> None:
    await none_is_lost(admin, redis_url, name, lambda commands: [[each] for each in (*commands, *CATEGORIES)])


async def none_is_lost(
    admin: sync_redis.Redis, redis_url: str, name: str, denials: Callable[[list[str]], list[list[str]]]
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        call = await CASES[name](queue)
        before = await snapshot(queue)
        admin.config_resetstat()
        await call()
        for denied in denials(used(admin)):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", *(f"-{each}" for each in denied))
            # a refusal is an answer
            with contextlib.suppress(ResponseError, CrewlineError):
                await call()
            if lost := off(admin):
                wrong.append(f"without {denied}: {lost}")
            admin.execute_command("ACL", "SETUSER", "weak", "+@all")
            # that it was done before is one, too
            with contextlib.suppress(CrewlineError):
                await call()
            if lost := off(admin):
                wrong.append(f"with {denied} again: {lost}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)


async def test_a_tree_that_was_refused_is_added_whole_by_the_next_call(admin: sync_redis.Redis, redis_url: str) -> None:
    tree = FlowJob("n", options={"job_id": "root"}, children=[FlowJob("n", options={"job_id": "leaf"})])
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        admin.execute_command("ACL", "SETUSER", "weak", "-zadd")
        with pytest.raises(ResponseError):
            await queue.add_flow(tree)
        assert not admin.exists(queue.keys.job("root"), queue.keys.job("leaf"))
        admin.execute_command("ACL", "SETUSER", "weak", "+zadd")
        await queue.add_flow(tree)
        assert await queue.job_state("root") == "waiting-children"
        assert await queue.job_state("leaf") == "waiting"


async def test_a_refused_add_leaves_a_job_alone_that_was_there_before(admin: sync_redis.Redis, redis_url: str) -> None:
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        # where an end of the list is far away
        await queue.add_bulk(("n", n, {"job_id": f"j{n}"}) for n in range(2500))
        admin.execute_command("ACL", "SETUSER", "weak", "-zadd")
        with pytest.raises(ResponseError):
            await queue.add_bulk([("n", 1, {"job_id": "j1250"}), ("n", 1, {"delay": 60})])
        assert admin.exists(queue.keys.job("j1250"))


def replacing(number: int) -> tuple[str, int, dict[str, Any]]:
    return "n", number, {"job_id": f"new{number}", "delay": 1000, "dedup": Dedup("x", replace=True)}


def leaf(job_id: str, dedup: Dedup) -> FlowJob:
    return FlowJob("n", options={"job_id": job_id, "delay": 1000, "dedup": dedup})


REPLACES: dict[str, Callable[[Queue], Awaitable[Any]]] = {
    "one": lambda queue: queue.add("n", 1, job_id="new1", dedup=Dedup("x", 60, replace=True)),
    "delayed": lambda queue: queue.add("n", 1, **replacing(1)[2]),
    "bulk": lambda queue: queue.add_bulk([("n", 0), replacing(1), replacing(2), ("n", 0, {"priority": 1})]),
    "flow": lambda queue: queue.add_flow(
        FlowJob("n", children=[leaf("new1", Dedup("x", 60, replace=True, extend=True)), FlowJob("n")])
    ),
}


@pytest.mark.parametrize("child", [False, True], ids=["alone", "a child"])
@pytest.mark.parametrize("ttl", [None, 60])
@pytest.mark.parametrize("way", REPLACES)
async def test_a_job_that_a_refused_add_was_to_replace_waits_as_before(
    admin: sync_redis.Redis, redis_url: str, way: str, ttl: float | None, child: bool
) -> None:
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        old = leaf("old", Dedup("x", ttl, replace=True))
        if child:
            await queue.add_flow(FlowJob("n", queue="letters", children=[dataclasses.replace(old, queue="emails")]))
        else:
            await queue.add("n", 1, **old.options)
        held, waiting = "bull:emails:de:x", "bull:letters:waiting-children"
        before, job = await snapshot(queue), admin.hgetall(queue.keys.job("old"))
        admin.config_resetstat()
        await REPLACES[way](queue)
        assert not admin.exists(queue.keys.job("old"), waiting)
        assert removed(admin) == ([b"old", b"new1"] if way == "bulk" else [b"old"])
        refused = set()
        for command in used(admin):
            await restore(queue, before)
            if ttl:
                admin.pexpire(held, 50_000)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            try:
                await REPLACES[way](queue)
            except ResponseError:
                refused.add(command)
                assert admin.hgetall(queue.keys.job("old")) == job, command
                assert admin.zrange("bull:emails:delayed", 0, -1) == [b"old"], command
                assert admin.get(held) == b"old", command
                assert admin.pttl(held) in (range(1, 50_001) if ttl else [-1]), command
                assert admin.zcard(waiting) == child, command
                assert removed(admin) == [], command
            else:
                assert not admin.exists(waiting), command
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            await REPLACES[way](queue)
            assert not admin.exists(queue.keys.job("old"), waiting), command
            assert admin.get(held) == (b"new2" if way == "bulk" else b"new1"), command
        assert refused >= {"HSET", "SET", "XADD", "XTRIM", "UNLINK"} | ({"SISMEMBER", "SREM"} if child else set())
    admin.flushall()


def removed(admin: sync_redis.Redis) -> list[bytes]:
    """The jobs that are told of as removed."""
    told = [fields for _, fields in admin.xrange("bull:emails:events")]
    return [fields[b"jobId"] for fields in told if fields[b"event"] == b"removed"]


async def test_a_throttle_is_not_taken_by_an_add_that_is_refused(admin: sync_redis.Redis, redis_url: str) -> None:
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        admin.execute_command("ACL", "SETUSER", "weak", "-hset")
        with pytest.raises(ResponseError):
            await queue.add("n", 1, job_id="new", dedup=Dedup("x", 60))
        admin.execute_command("ACL", "SETUSER", "weak", "+hset")
        await queue.add("n", 1, job_id="new", dedup=Dedup("x", 60))
        assert await queue.job_state("new") == "waiting"


async def test_a_job_takes_the_id_of_one_that_was_replaced_in_its_call(admin: sync_redis.Redis, redis_url: str) -> None:
    async with Queue("emails", redis=redis_url) as queue:
        await queue.add_bulk([replacing(1)])
        await queue.add_bulk([replacing(2), ("again", 3, {"job_id": "new1"})])
        assert admin.hget(queue.keys.job("new1"), "name") == b"again"
        assert not off(admin)


async def test_a_large_tree_that_is_refused_half_way_is_let_go_by_the_next_call(
    admin: sync_redis.Redis, redis_url: str
) -> None:
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        call = await touching.releases_a_flow(queue)
        admin.execute_command("ACL", "SETUSER", "weak", "-lpush")
        with pytest.raises(ResponseError):
            await call()
        admin.execute_command("ACL", "SETUSER", "weak", "+lpush")
        while await call() > 0:
            pass
        assert admin.zrange("bull:emails:waiting-children", 0, -1) == [b"root"]


@pytest.mark.parametrize("act", [touching.releases_a_flow, touching.gives_a_flow_up], ids=["all there", "given up"])
async def test_a_job_that_a_large_tree_was_to_replace_is_lost_by_no_refusal(
    admin: sync_redis.Redis, redis_url: str, act: touching.Case
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        call = await act(queue)
        old, new = queue.keys.job("held"), queue.keys.job("leaf3")
        before = await snapshot(queue)
        assert admin.exists(old, new) == 2
        admin.config_resetstat()

        async def to_its_end() -> None:
            more: Any = True
            while more:
                left = await call()
                more = left > 0 if isinstance(left, int) else left[1]

        await to_its_end()
        stays = admin.exists(old, new), admin.get("bull:emails:de:x")
        assert stays[0] == 1
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            with contextlib.suppress(ResponseError):
                await to_its_end()
            if not admin.exists(old, new):
                wrong.append(f"without {command}: both are gone")
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            await to_its_end()
            if (admin.exists(old, new), admin.get("bull:emails:de:x")) != stays or off(admin):
                wrong.append(f"with {command} again: {admin.keys('bull:emails:*')}, {off(admin)}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("act", ["remove", "cancel", "clean"])
async def test_a_child_stays_where_its_parent_can_not_be_told(
    admin: sync_redis.Redis, redis_url: str, act: str
) -> None:
    async with Queue("letters", redis=redis_url) as parents:
        tree = FlowJob("n", children=[FlowJob("n", queue="emails", options={"job_id": "child"}, on_failure="fail")])
        await parents.add_flow(tree)
    admin.execute_command("ACL", "SETUSER", "weak", "resetkeys", "~bull:emails:*", "~bull-crewline:emails:*")
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        acts = {
            "remove": lambda: queue.remove("child"),
            "cancel": lambda: queue.cancel("child"),
            "clean": lambda: queue.clean("wait"),
        }
        with pytest.raises(ResponseError, match=r"bull:letters:.* waits for this job, and can not be told"):
            await acts[act]()
        assert await queue.job_state("child") == "waiting"


async def child_runs(queue: Queue, on_failure: Any = "ignore", **options: Any) -> None:
    """A parent in another queue, whose only child a worker holds; another comes with its deduplication id later."""
    await queue.add_flow(
        FlowJob("n", queue="letters", options={"job_id": "root", **options}, children=[
            FlowJob("n", queue="emails", options={"job_id": "child", "dedup": "x"}, on_failure=on_failure)
        ])
    )  # fmt: skip
    assert await touching.fetch(queue, 1) == ["child"]


ENDS = {
    "completed": Result("child", "t", "completed", '"why"'),
    "failed": Result("child", "t", "failed", "why"),
    "removed": Result("child", "t", "failed", "why", keep_failed="0"),
    "cancelled": Result("child", "t", "retry", "why", delay_ms=1000),
}


@pytest.mark.parametrize("options", [{}, {"priority": 3}, {"delay": 60}], ids=["waits", "by priority", "delayed"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("on_failure", ["fail", "ignore", "continue", "remove"])
async def test_a_parent_hears_of_an_end_whatever_was_refused(
    admin: sync_redis.Redis, redis_url: str, end: str, on_failure: Any, options: dict[str, Any]
) -> None:
    wrong: list[str] = []
    parent, waiting = "bull:letters:root", "bull:letters:waiting-children"
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        await child_runs(queue, on_failure, **options)
        if end == "cancelled":
            await queue.cancel("child", "no more")

        async def settle() -> list[int]:
            asked: dict[str, Any] = {"token": "u", "letters": touching.LETTERS, "lease_ms": 60_000, "worker": "w"}
            return (await queue.scripts.finish_and_fetch([ENDS[end]], room=0, points=5, **asked)).codes

        def told() -> bool:
            return not admin.exists(waiting, f"{parent}:dependencies")

        before = await snapshot(queue)
        admin.config_resetstat()
        assert await settle() == [0]
        assert told()
        parts = [part for part in ("processed", "failed", "unsuccessful") if admin.exists(f"{parent}:{part}")]
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            try:
                refused = await settle() != [0]
            except ResponseError as error:
                refused = True
                if "can not be" in str(error) and await snapshot(queue) != before:
                    wrong.append(f"without {command}: asked before, and something has changed")
            if not refused and not told():
                wrong.append(f"without {command}: nobody will tell the parent")
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            if refused:
                await settle()
            has = [part for part in ("processed", "failed", "unsuccessful") if admin.exists(f"{parent}:{part}")]
            if not told() or has != parts or off(admin) or admin.exists("bull:emails:de:x"):
                wrong.append(f"without {command}: {refused}, has {has}, {off(admin)}, {admin.get('bull:emails:de:x')}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)


LAST = Dedup("x", keep_last_if_active=True)


@pytest.mark.parametrize("kept", [{}, {"priority": 3}, {"delay": 60}, {"lifo": True}], ids=str)
@pytest.mark.parametrize("outcome", ["completed", "failed"])
@pytest.mark.parametrize("dedup", [LAST, Dedup("x", 60, keep_last_if_active=True), Dedup("x")], ids=str)
async def test_a_deduplication_id_is_freed_whatever_was_refused(
    admin: sync_redis.Redis, redis_url: str, dedup: Dedup, outcome: str, kept: dict[str, Any]
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        await queue.add("n", 1, job_id="first", dedup=dedup)
        assert await touching.fetch(queue, 1) == ["first"]
        if dedup.keep_last_if_active:
            await queue.add("n", 2, job_id="last", dedup=dedup, **kept)
            assert admin.exists("bull:emails:dn:x")
        end = Result("first", "t", outcome, "1", letter=False)
        before = await snapshot(queue)
        admin.config_resetstat()
        await touching.fetch(queue, 0, results=[end])
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            with contextlib.suppress(ResponseError):
                await touching.fetch(queue, 0, results=[end])
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            await touching.fetch(queue, 0, results=[end])
            holder, held_by = admin.get("bull:emails:de:x"), b"last" if dedup.keep_last_if_active else None
            if off(admin) or admin.exists("bull:emails:dn:x") or holder != held_by:
                wrong.append(f"without {command}: {off(admin)}, {holder}, {admin.hgetall('bull:emails:dn:x')}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("act", ["remove", "cancel", "clean", "drain"])
@pytest.mark.parametrize("options", [{}, {"priority": 3}, {"delay": 60}], ids=["waits", "by priority", "delayed"])
async def test_no_parent_waits_for_a_child_that_was_taken_away_half_way(
    admin: sync_redis.Redis, redis_url: str, act: str, options: dict[str, Any]
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        await queue.add_flow(
            FlowJob("n", queue="letters", options={"job_id": "root", **options}, children=[
                FlowJob("n", queue="emails", options={"job_id": "child"}, on_failure="ignore")
            ])
        )  # fmt: skip
        acts: dict[str, Call] = {
            "remove": lambda: queue.remove("child"),
            "cancel": lambda: queue.cancel("child"),
            "clean": lambda: queue.clean("wait"),
            "drain": queue.drain,
        }
        before = await snapshot(queue)
        admin.config_resetstat()
        await acts[act]()
        assert not admin.exists("bull:letters:waiting-children")
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            with contextlib.suppress(ResponseError, CrewlineError):
                await acts[act]()
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            await acts[act]()
            if admin.exists("bull:letters:waiting-children", "bull:letters:root:dependencies"):
                wrong.append(f"without {command}: {admin.smembers('bull:letters:root:dependencies')}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)


GOES: dict[str, Callable[[Queue], Call]] = {
    "remove": lambda queue: lambda: queue.remove("child"),
    "clean": lambda queue: lambda: queue.clean("failed"),
    "sweep": lambda queue: lambda: queue.scripts.sweep_jobs("failed", Keep(count=0)),
    "obliterate": lambda queue: lambda: queue.obliterate(force=True),
    "retention": lambda queue: (
        lambda: touching.fetch(
            queue, 0, results=[Result("other", "t", "failed", "why", keep_failed="1,", letter=False)]
        )
    ),
    "retention of such": lambda queue: (
        lambda: touching.fetch(
            queue, 0, results=[Result("other", "t", "failed", "why", keep_failed="=1,", letter=False)]
        )
    ),
}


@pytest.mark.parametrize("way", GOES)
async def test_no_parent_waits_for_a_failed_child_that_went_half_way(
    admin: sync_redis.Redis, redis_url: str, way: str
) -> None:
    wrong: list[str] = []
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        await child_runs(queue, "wait")
        await touching.fetch(queue, 0, results=[Result("child", "t", "failed", "why", letter=False)])
        opts = "{}" if way == "sweep" else '{"removeOnFail":{"count":1}}'
        await queue.redis.hset(queue.keys.job("child"), "opts", opts)
        await queue.add("n", 1, job_id="other")
        assert await touching.fetch(queue, 1) == ["other"]
        await queue.pause()
        goes, before = GOES[way](queue), await snapshot(queue)
        admin.config_resetstat()
        await goes()
        assert not admin.exists("bull:letters:waiting-children", queue.keys.job("child"))
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            with contextlib.suppress(ResponseError, CrewlineError):
                await goes()
            child = admin.exists(queue.keys.job("child"))
            waits = admin.exists("bull:letters:waiting-children")
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            if (waits and not child) or (off(admin) and way != "obliterate"):
                wrong.append(f"without {command}: child {child}, its parent waits {waits}, {off(admin)}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("known_dead", [False, True], ids=["stalled", "known dead"])
async def test_a_cancelled_child_whose_worker_is_gone_ends_once_its_parent_can_be_told(
    admin: sync_redis.Redis, redis_url: str, known_dead: bool
) -> None:
    wrong: list[str] = []
    parent, waiting = "bull:letters:root", "bull:letters:waiting-children"
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        await child_runs(queue)
        await queue.add("n", 1, job_id="other")
        assert await touching.fetch(queue, 1) == ["other"]
        await queue.cancel("child", "no more")

        async def recover() -> None:
            for job_id in ("child", "other"):
                admin.delete(queue.keys.job(job_id) + ":lock")
            await queue.scripts.recover_stalled(1, 3, lease_ms=1000, once=True)

        async def hand_back() -> None:
            await queue.scripts.hand_back_worker("t", "died", blame=False, most=3, keep_lines=10)

        for job_id in ("child", "other"):
            admin.hset(queue.keys.job(job_id), "processedOn", 5)
        before = await snapshot(queue)
        act = hand_back if known_dead else recover
        admin.config_resetstat()
        await act()
        assert not admin.exists(waiting)
        for command in used(admin):
            await restore(queue, before)
            admin.execute_command("ACL", "SETUSER", "weak", f"-{command}")
            with contextlib.suppress(ResponseError):
                await act()
            ended = admin.zscore(queue.keys.failed, "child") is not None
            if ended and admin.exists(waiting, f"{parent}:dependencies"):
                wrong.append(f"without {command}: it ended, and its parent waits")
            admin.execute_command("ACL", "SETUSER", "weak", f"+{command}")
            admin.delete("bull:emails:stalled-check")
            await recover()
            if admin.exists(waiting) or off(admin):
                wrong.append(f"without {command}: {admin.hgetall('bull:emails:child')}, {off(admin)}")
        admin.flushall()
    assert not wrong, "\n".join(wrong)


async def test_to_ask_whether_a_parent_can_be_told_changes_nothing(admin: sync_redis.Redis, redis_url: str) -> None:
    async with Queue("letters", redis=redis_url) as parents:
        tree = FlowJob("n", children=[FlowJob("n", queue="emails", options={"job_id": "child"})])
        await parents.add_flow(tree)
        # as where none was ever written
        await parents.redis.delete(parents.keys.events)
    admin.execute_command("ACL", "SETUSER", "weak", "-type")
    before = {key: admin.dump(key) for key in admin.keys("bull:*")}
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        with pytest.raises(ResponseError, match="can not be told"):
            await queue.remove("child")
    assert {key: admin.dump(key) for key in admin.keys("bull:*")} == before
    admin.flushall()


async def test_a_parent_that_can_not_wait_again_is_told_to_the_log(
    admin: sync_redis.Redis, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Queue("emails", redis=redis_url) as queue:
        await touching_changes.ended(queue)
        await queue.redis.hset(queue.keys.job("b"), "parentKey", "bull:letters:1")
    admin.execute_command("ACL", "SETUSER", "weak", "resetkeys", "~bull:emails:*", "~bull-crewline:emails:*")
    async with Queue("emails", redis=redis_url.replace("//", "//weak:secret@")) as queue:
        await queue.retry("b")
    assert "bull:letters:1" in caplog.text
    admin.flushall()


@pytest.mark.parametrize("name", CASES)
async def test_an_event_stream_that_takes_no_more_loses_no_job(
    admin: sync_redis.Redis, redis_url: str, name: str
) -> None:
    async with Queue("emails", redis=redis_url) as queue:
        call = await CASES[name](queue)
        admin.execute_command("XSETID", queue.keys.events, f"{2**64 - 1}-{2**64 - 1}")
        refused: ResponseError | None = None
        try:
            await call()
        except ResponseError as error:
            refused = error
        assert refused is None or "bull:emails:events" in str(refused)
        assert refused is None or "delete it" in str(refused)
        assert not off(admin)
        admin.delete(queue.keys.events)
        with contextlib.suppress(CrewlineError):
            await call()
        assert not off(admin)
    admin.flushall()
