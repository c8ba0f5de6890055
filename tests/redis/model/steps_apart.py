"""The steps of workers whose jobs do not run as most do: suspects, calls whose answers are lost, workers that sleep.

And of what holds a queue up: a rate, and BullMQ 5's way to pause.
"""

from __future__ import annotations

from typing import Any

from crewline import Dedup, Keep
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.redis.model import drawn
from tests.redis.model.hands import Hands
from tests.redis.model.runs import Held
from tests.redis.model.world import World

#: As BullMQ 5 does it, to a queue whose settings say that it is one of BullMQ 5: what waits is parked in `paused`, and
#: what is parked takes the place of `wait`.
_PARK = """
if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('RENAME', KEYS[1], KEYS[2]) end
redis.call('HSET', KEYS[3], 'paused', 1, 'version', 'bullmq:5.81.5')
redis.call('DEL', KEYS[4])
"""
_BRING_BACK = """
local parked = redis.call('EXISTS', KEYS[2]) == 1
if parked then redis.call('RENAME', KEYS[2], KEYS[1]) end
redis.call('HDEL', KEYS[3], 'paused')
local due = redis.call('ZRANGE', KEYS[6], 0, 0, 'WITHSCORES')
if parked or redis.call('ZCARD', KEYS[5]) > 0 then redis.call('ZADD', KEYS[4], 0, '0')
elseif due[2] then redis.call('ZADD', KEYS[4], math.floor(due[2] / 4096), '1') end
"""


def _suspects(machine: Any) -> list[Held]:
    return [held for worker in machine.hands.workers for held in worker.holds if b"suspect" in held.fields]


class Apart:
    """What happens to fewer jobs."""

    world: World
    hands: Hands

    def holds(self) -> None:
        raise NotImplementedError

    @precondition(lambda self: any(queue.within("wait", "prioritized") for queue in self.world.now.queues.values()))
    @rule(worker=drawn.workers, queue=drawn.queues, room=st.integers(1, 2))
    def fetch_asleep(self, worker: int, queue: str, room: int) -> None:
        self.hands.fetch_asleep(worker, queue, room)

    @precondition(lambda self: any(worker.asleep for worker in self.hands.workers))
    @rule(worker=drawn.workers)
    def wake(self, worker: int) -> None:
        self.hands.wake(worker)

    @precondition(lambda self: any(worker.asleep for worker in self.hands.workers))
    @rule(queue=drawn.queues, times=st.integers(1, 3), wakes=st.booleans())
    def sleep_on(self, queue: str, times: int, wakes: bool) -> None:
        """What was fetched for one that sleeps goes back, and is fetched for it again."""
        for _ in range(times):
            self.hands.lose_leases(0)
            self.hands.recover(queue, 2, once=True)
            self.holds()
            self.hands.fetch_asleep(0, queue, 1)
            self.holds()
        if wakes:
            self.hands.wake(0)

    @precondition(_suspects)
    @rule(which=drawn.few, how=st.sampled_from(("crashed", "tried")), room=drawn.few)
    def a_suspect_goes_back(self, which: int, how: str, room: int) -> None:
        """The process that ran it alone has died, or it raised there."""
        found = _suspects(self)
        held = found[which % len(found)]
        worker = next(n for n, each in enumerate(self.hands.workers) if held in each.holds)
        self.hands.settle(worker, held, "back", keep=Keep(), room=room, how=how)

    @rule(
        worker=drawn.workers, queue=drawn.queues, most=st.integers(1, 2), alone=st.booleans(),
        end=st.sampled_from(("dies", "late", "crashed", "tried", "completed", "retry", "back")),
    )  # fmt: skip
    def a_suspect_runs(self, worker: int, queue: str, most: int, alone: bool, end: str) -> None:
        """It dies with its worker; or that only stood still, and says too late how it ended; or it ends in time."""
        self.world.add(queue, {})
        self.holds()
        self.hands.fetch(worker, queue, 9)
        self.holds()
        self.hands.die(worker)
        self.hands.recover(queue, 3, once=True)
        self.holds()
        self.hands.fetch(worker, queue, 1)
        self.holds()
        mine = [held for held in self.hands.workers[worker].holds if held.key.queue == queue]
        for held in [held for held in _suspects(self) if held in mine][-1:]:
            if alone:
                self.hands.mark_alone(worker, held)
                self.holds()
            if end in ("dies", "late"):
                self.hands.lose_leases(worker)
                self.hands.recover(queue, most, once=True)
                self.holds()
            if end == "dies":
                self.hands.die(worker)
            elif end in ("crashed", "tried"):
                self.hands.settle(worker, held, "back", keep=Keep(), how=end)
            else:
                self.hands.settle(worker, held, "completed" if end == "late" else end, keep=Keep())

    @precondition(lambda self: any(worker.holds for worker in self.hands.workers))
    @rule(
        which=drawn.few, outcome=st.sampled_from(("completed", "failed", "retry", "back")), keep=drawn.keeps,
        room=drawn.few,
    )  # fmt: skip
    def settle_unanswered(self, which: int, outcome: str, keep: Keep, room: int) -> None:
        """The answer to a call with a result is lost, and the call is repeated."""
        holds = self.hands.workers[0].holds
        if holds:
            self.hands.settle(0, holds[which % len(holds)], outcome, keep=keep, room=room, unanswered=True)

    @rule(queue=drawn.queues, delay=st.integers(0, 1))
    def changes_come_while_a_job_fails(self, queue: str, delay: int) -> None:
        """One while it runs, one while it waits for its retry."""
        last = {"dedup": Dedup("x", keep_last_if_active=True)}
        self.world.add(queue, last)
        self.holds()
        self.hands.fetch(0, queue, 3)
        self.holds()
        held = [each for each in self.hands.workers[0].holds if each.key.queue == queue and each.fields.get(b"deid")]
        for outcome in ("retry", ""):
            self.world.add(queue, last)
            self.holds()
            if outcome and held:
                self.hands.settle(0, held[-1], outcome, keep=Keep(), delay=delay)
                self.holds()

    @rule(queue=drawn.queues, most=st.sampled_from((None, 1, 2, 3)), fetches=drawn.few)
    def set_global_rate(self, queue: str, most: int | None, fetches: int) -> None:
        self.world.on_queue(f"{most} a minute", queue, lambda q: q.set_global_rate(most, 60))
        if fetches:
            self.holds()
            self.world.add_bulk(queue, [{}] * 4)
        for worker in range(fetches):
            self.holds()
            self.hands.fetch(worker, queue, 2)

    @rule(queue=drawn.queues)
    def bullmq_5_pauses(self, queue: str) -> None:
        """Or resumes, if anybody has paused it, and nothing waits that it would lose: that is ours to see to."""
        found = self.world.now.queues[queue]
        keys = self.world.queues[queue].keys
        names = (keys.wait, keys.paused, keys.meta, keys.marker, keys.prioritized, keys.delayed)
        if not found.paused:
            self.world.on_queue("BullMQ 5 pauses", queue, lambda q: q.redis.eval(_PARK, len(names), *names))
        elif found.plain.get("paused"):
            waiting = found.plain.get("wait")
            self.world.must(not waiting, f"{waiting} wait where BullMQ 5, which has parked others, would lose them")
            self.world.on_queue("BullMQ 5 resumes", queue, lambda q: q.redis.eval(_BRING_BACK, len(names), *names))
