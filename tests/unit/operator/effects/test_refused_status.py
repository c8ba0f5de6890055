"""A status that the API server does not take is tried at intervals, and what comes before it is done at each look."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from crewline_operator.effects import objects
from crewline_operator.effects.actions import Action, Apply, WriteStatus
from crewline_operator.effects.executor import Executor
from crewline_operator.kube.budget import WriteBudget
from crewline_operator.kube.fence import Fence
from crewline_operator.kube.store import Store
from crewline_operator.model.note import Note
from crewline_operator.redis.bulkhead import Bulkheads

from tests.unit.operator.effects.test_executor import KEY, OBJ, Told, Watched
from tests.unit.operator.kube.serving import served

CHILD: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "emails", "namespace": "shop"},
    "spec": {},
}
ACTIONS: list[Action] = [
    Apply(CHILD, uid="d"),
    WriteStatus({"replicas": 1}),
    Note("Normal", "ScaledUp", "as the status tells"),
]


@pytest.mark.parametrize("code", [403, 500])
async def test_a_status_that_is_not_taken_holds_up_no_workers(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    calls: list[str] = []
    answers = [code]

    async def answer(request: web.Request) -> web.Response:
        calls.append("status" if request.path.endswith("/status") else "apply")
        if calls[-1] == "apply":
            return web.json_response(CHILD | {"metadata": CHILD["metadata"] | {"uid": "d", "resourceVersion": "5"}})
        return web.json_response(OBJ if answers[0] == 200 else {"message": "no such webhook"}, status=answers[0])

    later: list[tuple[Any, float]] = []
    events: Any = Told()
    async with served(answer) as api:
        executor = Executor(
            api=api, store=Store(), pollers=Watched(), events=events, bulkheads=Bulkheads(lambda _: None, 1),
            budget=WriteBudget(50, lambda _: None), fence=Fence.always_open(),
            requeue=lambda key, seconds: later.append((key, seconds)),
        )  # fmt: skip
        assert not await executor.carry_out(KEY, OBJ, ACTIONS)
        assert not await executor.carry_out(KEY, OBJ, ACTIONS)
        assert calls == ["apply", "status", "apply"], "it is not asked at each look"
        assert later == [(KEY, 5.0)] * 2
        monkeypatch.setattr(objects, "STATUS_AGAIN_SECONDS", 0.0)
        assert not await executor.carry_out(KEY, OBJ, ACTIONS)
        assert calls[3:] == ["apply", "status"]
        assert events.notes == ["StatusNotWritten"], "once, and nothing that the status is to tell of"
        answers[0] = 200
        assert await executor.carry_out(KEY, OBJ, ACTIONS)
        assert events.notes == ["StatusNotWritten", "ScaledUp"]


async def test_a_server_that_has_too_much_to_do_is_left_alone_for_as_long_as_it_says() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"message": "busy"}, status=503, headers={"Retry-After": "7"})

    events: Any = Told()
    async with served(answer) as api:
        executor = Executor(
            api=api, store=Store(), pollers=Watched(), events=events, bulkheads=Bulkheads(lambda _: None, 1),
            budget=WriteBudget(50, lambda _: None), fence=Fence.always_open(), requeue=lambda _key, _seconds: None,
        )  # fmt: skip
        with pytest.raises(Exception, match="busy"):
            await executor.carry_out(KEY, OBJ, ACTIONS[1:])
