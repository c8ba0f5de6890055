"""An object that can't be looked after says so itself, and says so no more once it can."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from crewline_operator.controller import Controller
from crewline_operator.effects.actions import Action, WriteStatus
from crewline_operator.jobqueue.plan import plan
from crewline_operator.kube.conditions import find_condition
from crewline_operator.kube.status import patched
from crewline_operator.kube.store import Store
from crewline_operator.loop import failing
from crewline_operator.loop.failing import plan_failing
from crewline_operator.loop.metrics import Metrics
from crewline_operator.model.key import Key, Object
from crewline_operator.model.note import Note
from crewline_operator.model.settings import Settings

from tests.unit.operator.factories import jobqueue, jobqueue_object, observed
from tests.unit.operator.jobqueue.plans import reading
from tests.unit.operator.kube.cluster import Cluster
from tests.unit.operator.kube.serving import served

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
READY = {"type": "Ready", "status": "True", "reason": "WorkersReady", "message": "", "lastTransitionTime": "t"}
IMAGE = {"reason": "ImagePullFailed", "message": "no such image"}
ERROR = TypeError("redis://app:hunter2@redis: cadata should be an ASCII string")


def status_after(obj: Object, actions: list[Action]) -> dict[str, Any]:
    status: dict[str, Any] = dict(obj.get("status") or {})
    for action in actions:
        if isinstance(action, WriteStatus):
            status = patched(status, action.patch)
    return status


def told(status: dict[str, Any] | None = None, first: bool = True) -> tuple[list[Action], dict[str, Any]]:
    obj = jobqueue_object() | ({"status": status} if status is not None else {})
    actions = plan_failing("JobQueue", obj, ERROR, NOW, first=first)
    return actions, status_after(obj, actions)


def test_it_is_degraded_and_all_else_that_is_known_of_it_stays() -> None:
    before = {"observedGeneration": 0, "conditions": [READY], "faults": [IMAGE], "counts": {"waiting": 3}}
    actions, status = told(before)
    degraded = find_condition(status, "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "ReconcileFailed")
    assert degraded["message"].endswith("TypeError: redis://redis: cadata should be an ASCII string")
    assert "hunter2" not in str(actions)
    assert [fault["reason"] for fault in status["faults"]] == ["ReconcileFailed", "ImagePullFailed"]
    assert READY in status["conditions"]
    assert (status["summary"], status["counts"]) == ("Degraded: ReconcileFailed", {"waiting": 3})
    assert status["observedGeneration"] == 0, "nobody knows what of the spec is in effect"
    assert [action.reason for action in actions if isinstance(action, Note)] == ["ReconcileFailed"]


def test_it_is_said_once() -> None:
    _, status = told()
    actions, _ = told(status, first=False)
    assert actions == []


def test_the_first_reconcile_that_succeeds_ends_it() -> None:
    _, status = told()
    planned = plan(jobqueue(), observed(status=status, reading=reading()), Settings())
    assert planned.status is not None and "faults" not in planned.status
    assert find_condition(planned.status, "Degraded")["status"] == "False"
    assert [action.reason for action in planned.actions if isinstance(action, Note)][-1] == "Recovered"


def test_a_scheduledjob_is_not_ready() -> None:
    obj = {"metadata": {"name": "digest", "namespace": "shop", "uid": "u", "resourceVersion": "1"}}
    status = status_after(obj, plan_failing("ScheduledJob", obj, ERROR, NOW, first=True))
    assert [(each["type"], each["status"], each["reason"]) for each in status["conditions"]] == [
        ("Ready", "False", "ReconcileFailed")
    ]
    assert status.keys() == {"conditions"}


@pytest.mark.parametrize(("left", "tells"), [(True, 0), (False, 1)])
async def test_what_is_left_to_another_operator_is_that_ones_to_tell_of(left: bool, tells: int) -> None:
    carried: list[Key] = []

    class Executor:
        async def carry_out(self, key: Key, obj: Object, actions: list[Action]) -> None:
            carried.append(key)

    store, obj = Store(), jobqueue_object()
    store.of("JobQueue").put(obj)
    key = Key("JobQueue", obj["metadata"]["namespace"], obj["metadata"]["name"])
    executor: Any = Executor()
    await failing.Failing(store, executor, lambda _: left).tell(key, ERROR, failing.TELL_AFTER)
    assert len(carried) == tells


async def test_a_secret_that_may_not_be_read_is_told_on_the_jobqueue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failing, "TELL_AFTER", 2)
    cluster, written = Cluster(), asyncio.Queue[dict[str, Any]]()
    secret = {"secretKeyRef": {"name": "redis", "key": "password"}}
    obj = jobqueue_object(redis={"url": "redis://redis", "passwordFrom": secret})

    async def answer(request: web.Request) -> web.StreamResponse:
        if "/secrets" in request.path:
            return web.json_response({"reason": "Forbidden", "message": "secrets is forbidden"}, status=403)
        if request.path.endswith("/status"):
            patch = (await request.json())["status"]
            written.put_nowait(patch)
            return web.json_response(obj | {"metadata": obj["metadata"] | {"resourceVersion": "99"}, "status": patch})
        if request.path.endswith("/jobqueues"):
            return web.json_response({"metadata": {"resourceVersion": "50"}, "items": [obj]})
        return await cluster.answer(request)

    async with served(answer) as api:
        controller = Controller(api, Settings(), Metrics())
        working = asyncio.create_task(controller.run())
        try:
            async with asyncio.timeout(60):
                status = await written.get()
        finally:
            working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await working
    degraded = find_condition(status, "Degraded")
    assert degraded["reason"] == "ReconcileFailed"
    assert degraded["message"].endswith("ApiError: secrets is forbidden")
