"""What pods ask of those who consolidate nodes is written within the budget of all statuses, or later."""

from __future__ import annotations

from typing import Any

from crewline_operator.effects.actions import Shield
from crewline_operator.effects.executor import Executor
from crewline_operator.kube.budget import WriteBudget
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.fence import Fence
from crewline_operator.kube.store import Store
from crewline_operator.model.do_not_disrupt import DO_NOT_DISRUPT, WHILE_BUSY
from crewline_operator.model.key import Key
from crewline_operator.redis.bulkhead import Bulkheads
from crewline_operator.redis.pollers import Pollers

KEY = Key("JobQueue", "shop", "emails")
OBJ = {"metadata": {"namespace": "shop", "name": "emails", "uid": "u", "resourceVersion": "1"}}


class Pods:
    """Takes patches of pods, of which one is gone."""

    def __init__(self) -> None:
        self.patches: list[tuple[str, Any]] = []

    async def merge(self, _resource: Any, _namespace: str, name: str, patch: Any) -> dict[str, Any]:
        if name == "gone":
            raise ApiError(404, "NotFound", "there is none")
        self.patches.append((name, patch["metadata"]))
        return {"metadata": {"namespace": "shop", "name": name} | patch["metadata"]}


def executor(pods: Pods, budget: WriteBudget) -> Executor:
    nothing: Any = None
    api: Any = pods
    return Executor(
        api=api, store=Store(), pollers=Pollers(lambda _: None, 1), events=nothing,
        bulkheads=Bulkheads(lambda _: None, 1), budget=budget, fence=Fence.always_open(),
        requeue=lambda _key, _seconds: None,
    )  # fmt: skip


async def test_pods_are_patched_by_uid_as_many_as_the_budget_has_and_the_others_when_it_is_their_turn() -> None:
    now, called, pods = [0.0], [], Pods()
    budget = WriteBudget(2, called.append, clock=lambda: now[0])
    leading = executor(pods, budget)
    wanted = [Shield(f"emails-{number}", f"pod-{number}", True) for number in range(4)]
    assert await leading.carry_out(KEY, OBJ, wanted) is False
    assert [name for name, _ in pods.patches] == ["emails-0", "emails-1"]
    assert pods.patches[0][1] == {"uid": "pod-0", "annotations": DO_NOT_DISRUPT | {WHILE_BUSY: "true"}}
    budget.call()
    assert called == []
    now[0] = 1.0
    budget.call()
    assert called == [KEY]
    assert await leading.carry_out(KEY, OBJ, [Shield("gone", "pod-9", False), wanted[2]])
    assert [name for name, _ in pods.patches][2:] == ["emails-2"]


async def test_what_a_pod_asked_for_is_taken_off_it() -> None:
    pods = Pods()
    assert await executor(pods, WriteBudget(50, lambda _: None)).carry_out(KEY, OBJ, [Shield("a", "pod-1", False)])
    assert set(pods.patches[0][1]["annotations"].values()) == {None}
