"""What the operator writes: nothing where nothing changed, and statuses in the order in which they matter."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from crewline_operator.kube.errors import ApiError

from tests.e2e.inside import Call, Inside, Operator
from tests.e2e.scene import condition, until

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def quiet(operator: Operator) -> None:
    """Wait until no object has been reconciled for a second."""
    last = [asyncio.get_running_loop().time(), operator.reconciles()]

    async def look() -> float:
        if operator.reconciles() != last[1]:
            last[:] = [asyncio.get_running_loop().time(), operator.reconciles()]
        return asyncio.get_running_loop().time() - last[0]

    await until("nothing is reconciled", look, lambda seconds: seconds >= 1, seconds=30)


async def test_a_full_resync_writes_nothing_where_nothing_changed(inside: Inside) -> None:
    scene = inside.scene
    names = [f"q{number}" for number in range(5)]
    await scene.apply(*(inside.jobqueue(name) for name in names))
    async with inside.operator() as operator:
        for name in names:
            await scene.wait_condition(name, "RedisReachable", "Connected")
        await quiet(operator)
        inside.api.writes.clear()
        before = operator.reconciles()
        await operator.controller._listing.list_kind("JobQueue")
        operator.controller._resync()
        await until("all were looked at", operator.settled(before + len(names)), seconds=20)
        await quiet(operator)
        assert inside.api.writes == []


async def test_own_status_writes_do_not_come_back_as_reconciles(inside: Inside) -> None:
    scene = inside.scene
    await scene.apply(inside.jobqueue("emails", scaling={"mode": "External"}))
    async with inside.operator(status_seconds=0.5) as operator:
        await scene.wait_condition("emails", "RedisReachable", "Connected")
        await quiet(operator)
        before, written = operator.reconciles(), len(inside.api.written("/status"))
        await scene.queue("emails").add("hello", {}, delay=3600)
        await scene.wait("emails", "has counted", lambda seen: seen["status"]["counts"]["delayed"] == 1)
        await quiet(operator)
        assert len(inside.api.written("/status")) == written + 1
        assert operator.reconciles() == before + 1, "that of the reading"


async def test_while_a_quota_refuses_the_pods_nothing_is_applied_again(inside: Inside) -> None:
    scene = inside.scene
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    await scene.apply(quota, inside.jobqueue("emails", scaling={"minReplicas": 1}))
    async with inside.operator() as operator:
        await scene.wait_condition("emails", "Degraded", "PodsRefused")
        await quiet(operator)
        inside.api.writes.clear()
        before = operator.reconciles()
        await until("it was looked at again", operator.settled(before + 1), seconds=20)
        assert inside.api.writes == []


async def test_a_decision_is_told_though_the_write_of_the_status_failed(inside: Inside) -> None:
    scene = inside.scene
    await scene.apply(inside.jobqueue("emails"))
    async with inside.operator():
        await scene.wait_condition("emails", "RedisReachable", "Connected")
        refused: list[Call] = []

        def refuse(call: Call) -> ApiError | None:
            if "/status" not in call.path:
                return None
            refused.append(call)
            return ApiError(503, "ServiceUnavailable", "not now") if len(refused) < 3 else None

        inside.api.refuse = refuse
        await scene.queue("emails").add("hello", {})
        seen = await scene.wait("emails", "tells it", lambda obj: obj["status"]["lastDecision"]["to"] == 1)
        assert len(refused) >= 3
        assert seen["status"]["lastDecision"]["from"] == 0
        assert (await scene.wait_event("emails", "ScaledUp")).startswith("0 -> 1 workers: waiting 1")


async def test_a_decision_is_told_though_the_operator_died_before_it_wrote_the_status(inside: Inside) -> None:
    scene = inside.scene
    await scene.apply(inside.jobqueue("emails"))
    async with inside.operator():
        await scene.wait_condition("emails", "RedisReachable", "Connected")
        inside.api.refuse = lambda call: ApiError(503, "", "not now") if "/status" in call.path else None
        await scene.queue("emails").add("hello", {})
        await until("it is scaled", lambda: scene.replicas("emails"), seconds=20)
    inside.api.refuse = lambda _: None
    async with inside.operator():
        await scene.wait("emails", "tells it", lambda obj: obj["status"]["lastDecision"]["to"] == 1)
        assert (await scene.wait_event("emails", "ScaledUp")).startswith("0 -> 1 workers: waiting 1")


async def test_statuses_are_written_no_faster_than_the_budget_and_what_matters_first(inside: Inside) -> None:
    scene = inside.scene
    names = [f"q{number}" for number in range(12)]
    await scene.apply(*(inside.jobqueue(name, scaling={"mode": "External"}) for name in names))
    async with inside.operator(status_writes_per_second=2, status_seconds=0.5) as operator:
        for name in names:
            await scene.wait_condition(name, "RedisReachable", "Connected")
        await quiet(operator)
        inside.api.writes.clear()
        began = asyncio.get_running_loop().time()
        for name in names:
            await scene.queue(name).add("hello", {}, delay=3600)
        await until("numbers wait", lambda: written_names(inside), lambda seen: len(seen) >= 3, seconds=20)
        await scene.apply(inside.jobqueue(names[-1], paused=True, scaling={"mode": "External"}))
        await until("all are written", lambda: written_names(inside), lambda seen: {*names} <= {*seen})
        seconds = asyncio.get_running_loop().time() - began
        order = await written_names(inside)
        assert len(order) <= 2 * seconds + 2 + 1, "what was saved up, and one that was begun"
        assert order.index(names[-1]) < len(names) - 2
        seen = await scene.get("JobQueue", names[0])
        assert seen and seen["status"]["counts"]["delayed"] == 1
        assert condition(seen, "Degraded")["status"] == "False"


async def written_names(inside: Inside) -> list[Any]:
    """Whose statuses were written, in that order."""
    return [call.path.split("/")[-2] for call in inside.api.written("/status")]


async def test_progress_of_any_kind_is_written_once(inside: Inside) -> None:
    scene = inside.scene
    queue = scene.queue("emails")
    job = await queue.add("long", {})
    await queue.redis.rpoplpush(queue.keys.wait, queue.keys.active)
    progress = '{"eta": null, "n": 1e22, "big": ' + "1" * 400 + ', "steps": [null, {"a": null, "b": 0.1}]}'
    await queue.redis.hset(queue.keys.job(job.id), "progress", progress)
    await scene.apply(inside.jobqueue("emails", scaling={"mode": "External"}))
    async with inside.operator(status_seconds=0.2) as operator:
        seen = await scene.wait("emails", "shows it", lambda seen: seen["status"]["running"])
        assert seen["status"]["running"][0]["progress"]["steps"] == [None, {"b": 0.1}]
        await quiet(operator)
        inside.api.writes.clear()
        before = operator.reconciles()
        operator.controller._resync()
        await until("it was looked at", operator.settled(before + 1), seconds=20)
        await quiet(operator)
        assert inside.api.writes == []


async def test_a_status_that_the_api_server_finds_unfit_holds_up_nothing_else(inside: Inside) -> None:
    scene = inside.scene
    await scene.apply(inside.jobqueue("emails", scaling={"target": {"jobsPerReplica": 1}}))
    async with inside.operator():
        await scene.wait_condition("emails", "RedisReachable", "Connected")
        unfit = ApiError(422, "Invalid", "status.running: Invalid value")
        inside.api.refuse = lambda call: unfit if call.path.endswith("/status") else None
        for wanted in (1, 2, 3):
            await scene.queue("emails").add("a", {})
            await until("it follows", lambda: scene.replicas("emails"), lambda seen: seen == wanted, 5)  # noqa: B023
