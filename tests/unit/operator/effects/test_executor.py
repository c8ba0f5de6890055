"""Who does not lead carries out what reads, and nothing else; whoever loses the lease in the middle stops there."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.effects.actions import Action, Attend, Pause, Unfollow, WriteStatus
from crewline_operator.effects.executor import Executor
from crewline_operator.kube.fence import Fence, NotLeading
from crewline_operator.kube.store import Store
from crewline_operator.model.attention import Attention
from crewline_operator.model.key import Key
from crewline_operator.model.note import Note
from crewline_operator.model.queue_ref import QueueRef
from crewline_operator.model.urgency import Urgency
from crewline_operator.redis.bulkhead import Bulkheads
from crewline_operator.redis.pollers import Pollers

KEY = Key("JobQueue", "shop", "emails")
OBJ = {"metadata": {"namespace": "shop", "name": "emails", "uid": "u", "resourceVersion": "1"}}
READS: list[Action] = [Attend(Attention.ASLEEP), Unfollow()]
WRITES: list[Action] = [
    WriteStatus({"replicas": 1}, Urgency.MATERIAL),
    Pause(QueueRef(KEY, "bull", "emails"), True, Note("Normal", "Paused", "paused")),
    Note("Normal", "Created", "created"),
]


class Watched(Pollers):
    """Which readings were asked for."""

    def __init__(self) -> None:
        super().__init__(lambda _: None, 1)
        self.asked: list[str] = []

    def attend(self, key: Key, attention: Attention) -> None:
        self.asked.append("attend")

    def unwatch(self, key: Key) -> None:
        self.asked.append("unwatch")


class Told:
    """Events that were left, and when the lease is lost with the first of them."""

    def __init__(self, fence: Fence | None = None) -> None:
        self.notes: list[str] = []
        self._fence = fence

    def record(self, kind: str, obj: Any, note: Note) -> None:
        self.notes.append(note.reason)
        if self._fence is not None:
            self._fence.close()


def executor(fence: Fence, pollers: Pollers, events: Told) -> Executor:
    """One that has no API server and no budget: whoever wrote would fail."""
    nothing: Any = None
    told: Any = events
    return Executor(
        api=nothing, store=Store(), pollers=pollers, events=told, bulkheads=Bulkheads(lambda _: None, 1),
        budget=nothing, fence=fence, requeue=lambda _key, _seconds: None,
    )  # fmt: skip


async def test_who_waits_to_lead_reads_and_writes_nothing() -> None:
    pollers, events = Watched(), Told()
    waiting = executor(Fence(), pollers, events)
    assert not waiting.leads
    assert await waiting.carry_out(KEY, OBJ, [READS[0], *WRITES, READS[1]])
    assert (pollers.asked, events.notes) == (["attend", "unwatch"], [])


@pytest.mark.parametrize("write", WRITES, ids=lambda action: type(action).__name__)
async def test_each_action_that_writes_asks_whether_the_lease_is_held(write: Action) -> None:
    fence = Fence.always_open()
    events = Told(fence)
    leading = executor(fence, Watched(), events)
    with pytest.raises(NotLeading):
        await leading.carry_out(KEY, OBJ, [Note("Normal", "First", "the lease is lost now"), write])
    assert events.notes == ["First"]
