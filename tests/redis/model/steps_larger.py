"""The steps of jobs that die for want of memory, and of the larger worker that they wait for."""

from __future__ import annotations

from typing import Any

from crewline import Keep
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.redis.model import drawn
from tests.redis.model.hands import Hands
from tests.redis.model.world import World


def _waits(machine: Any) -> bool:
    return any(queue.own.get("larger") for queue in machine.world.now.queues.values())


class Larger:
    """What becomes of them."""

    world: World
    hands: Hands

    def holds(self) -> None:
        raise NotImplementedError

    @precondition(lambda self: any(worker.holds for worker in self.hands.workers))
    @rule(worker=drawn.workers, which=drawn.few, room=drawn.few)
    def a_job_outgrows_its_worker(self, worker: int, which: int, room: int) -> None:
        """Its own process was killed; the worker lives, and fetches on."""
        holds = self.hands.workers[worker].holds
        if holds:
            self.hands.settle(worker, holds[which % len(holds)], "back", keep=Keep(), room=room, how="outgrown")

    @precondition(_waits)
    @rule(worker=drawn.workers, queue=drawn.queues, unanswered=st.booleans())
    def fetch_larger(self, worker: int, queue: str, unanswered: bool) -> None:
        self.hands.fetch(worker, queue, 1, unanswered=unanswered, larger=True)

    @rule(
        worker=drawn.workers, queue=drawn.queues, priority=drawn.priorities, whole=st.booleans(),
        end=st.sampled_from(("", "completed", "failed", "retry", "back", "dies", "evicted")), fetches=st.booleans(),
    )  # fmt: skip
    def a_job_needs_more(self, worker: int, queue: str, priority: int, whole: bool, end: str, fetches: bool) -> None:
        """From its death, of its own process or the `whole` worker, to its end in a larger worker; `fetches`: another
        worker looks meanwhile."""
        self.world.add(queue, {"priority": priority})
        self.holds()
        self.hands.fetch(worker, queue, 1)
        self.holds()
        mine = [held for held in self.hands.workers[worker].holds if held.key.queue == queue]
        if not mine:
            return
        if whole:
            self.hands.hand_back(worker, queue, blame=True, most=2, fail_alone=True, larger_first=True)
        else:
            self.hands.settle(worker, mine[-1], "back", keep=Keep(), how="outgrown")
        self.holds()
        if fetches:
            self.hands.fetch(1 - worker, queue, 2)
            self.holds()
        if not end:
            return
        self.hands.fetch(worker, queue, 1, larger=True)
        self.holds()
        for held in [held for held in self.hands.workers[worker].holds if b"larger" in held.fields][-1:]:
            if end in ("dies", "evicted"):
                self.hands.hand_back(
                    worker, queue, blame=end == "dies", most=2, fail_alone=True, larger_first=True
                )  # fmt: skip
            else:
                self.hands.settle(worker, held, end, keep=Keep())
