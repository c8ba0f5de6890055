"""The steps of producers and workers."""

from __future__ import annotations

from typing import Any

from crewline import FlowJob, Keep
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.redis.model import drawn
from tests.redis.model.hands import Hands
from tests.redis.model.runs import Held
from tests.redis.model.wakeups import Notices
from tests.redis.model.world import World


def _held(machine: Any) -> bool:
    return any(worker.holds for worker in machine.hands.workers)


def _ended(machine: Any) -> bool:
    return any(worker.ended for worker in machine.hands.workers)


def _runnable(machine: Any) -> bool:
    return any(queue.within("wait", "prioritized", "delayed") for queue in machine.world.now.queues.values())


def _scheduled(machine: Any) -> bool:
    return any("s" in queue.schedules for queue in machine.world.now.queues.values())


def _suspected(machine: Any) -> bool:
    return any("suspect" in fields for _, fields in machine.world.now.jobs())


outcomes = st.sampled_from(("completed", "failed", "retry", "back"))


class Produce:
    """What producers do."""

    world: World

    @rule(queue=drawn.queues, options=drawn.options)
    def add(self, queue: str, options: dict[str, Any]) -> None:
        self.world.add(queue, options)

    @rule(queue=drawn.queues, bulk=drawn.bulks)
    def add_bulk(self, queue: str, bulk: list[dict[str, Any]]) -> None:
        self.world.add_bulk(queue, bulk)

    @rule(queue=drawn.queues, root=drawn.flows)
    def add_flow(self, queue: str, root: FlowJob) -> None:
        self.world.add_flow(queue, root)

    @rule(
        queue=drawn.queues, schedule=st.sampled_from(("s", "t")), rhythm=drawn.rhythms, bounds=drawn.rules,
        options=drawn.templates,
    )  # fmt: skip
    def schedule(
        self, queue: str, schedule: str, rhythm: dict[str, Any], bounds: dict[str, Any], options: dict[str, Any]
    ) -> None:
        self.world.schedule(queue, schedule, rhythm, bounds, **options)

    @rule(queue=drawn.queues, schedule=st.sampled_from(("s", "t")))
    def unschedule(self, queue: str, schedule: str) -> None:
        self.world.unschedule(queue, schedule)

    @precondition(_scheduled)
    @rule(
        queue=drawn.queues, rhythm=drawn.rhythms, bounds=drawn.rules, options=drawn.templates,
        command=drawn.commands, ends=st.booleans(),
    )  # fmt: skip
    def schedule_without(
        self, queue: str, rhythm: dict[str, Any], bounds: dict[str, Any], options: dict[str, Any], command: str,
        ends: bool,
    ) -> None:  # fmt: skip
        """A schedule is made, changed or ended by a user who may not use a command."""

        def step() -> None:
            if ends:
                self.world.unschedule(queue, "s")
            else:
                self.world.schedule(queue, "s", rhythm, bounds, **options)

        self.world.without(command, step)


class Work:
    """What workers do, and what becomes of them."""

    world: World
    hands: Hands
    notices: Notices

    def holds(self) -> None:
        raise NotImplementedError

    def _one_of(self, worker: int, which: int, *, ended: bool = False) -> Held | None:
        hands = self.hands.workers[worker]
        found = hands.ended if ended else hands.holds
        return found[which % len(found)] if found else None

    @precondition(_runnable)
    @rule(worker=drawn.workers, queue=drawn.any_queue)
    def take_marker(self, worker: int, queue: str) -> None:
        popped = self.world.on_queue("take marker", queue, lambda q: q.redis.zpopmin(q.keys.marker))
        for member, score in popped:
            self.notices.took_marker(worker, queue, member.decode(), int(score), self.world.now.now_ms)

    @precondition(_runnable)
    @rule(
        worker=drawn.workers, queue=drawn.any_queue, room=st.integers(1, 3), unanswered=st.booleans(),
        advance=st.sampled_from((True, True, True, False)), late=st.booleans(),
    )  # fmt: skip
    def fetch(self, worker: int, queue: str, room: int, unanswered: bool, advance: bool, late: bool = False) -> None:
        self.hands.fetch(worker, queue, room, unanswered=unanswered, late=late, advance=advance)

    @precondition(_runnable)
    @rule(worker=drawn.workers, queue=drawn.queues, outcome=outcomes, keep=drawn.keeps, letter=st.booleans())
    def run_one(self, worker: int, queue: str, outcome: str, keep: Keep, letter: bool) -> None:
        """The two steps that make the most of others possible, in one."""
        before = list(self.hands.workers[worker].holds)
        self.hands.fetch(worker, queue, 1)
        self.holds()
        for held in self.hands.workers[worker].holds[len(before) :]:
            self.hands.settle(worker, held, outcome, keep=keep, letter=letter)

    @precondition(_runnable)
    @rule(room=st.integers(1, 2))
    def fetch_some(self, room: int) -> None:
        """As `fetch`, where most jobs are: without this, runs that overlap are rare."""
        self.hands.fetch(0, "mail", room)

    @rule(
        worker=drawn.workers, queue=drawn.queues, count=st.integers(1, 3), priority=drawn.priorities,
        passes=st.booleans(),
    )  # fmt: skip
    def a_worker_dies_with_some(self, worker: int, queue: str, count: int, priority: int, passes: bool = False) -> None:
        """As `run_one`: without this, several suspects before other jobs are rare."""
        self.world.add_bulk(queue, [{"priority": priority}] * count)
        self.holds()
        self.hands.fetch(worker, queue, 9)
        self.holds()
        self.hands.die(worker)
        self.holds()
        self.hands.recover(queue, 3, once=True)
        self.holds()
        self.world.add(queue, {"priority": priority})
        if passes:
            self.holds()
            self.hands.fetch(worker, queue, 2, suspects=0)

    @precondition(_suspected)
    @rule(worker=drawn.workers, queue=drawn.queues, room=st.integers(1, 3), suspects=drawn.few, calls=drawn.few)
    def fetch_past_suspects(self, worker: int, queue: str, room: int, suspects: int, calls: int) -> None:
        """As a worker that has room for few suspects; it calls again where it is told to."""
        self.hands.fetch(worker, queue, room, suspects=suspects)
        while self.hands.asked[-1].told_to_come_again and calls > 0:
            calls -= 1
            self.holds()
            self.hands.fetch(worker, queue, room, suspects=0)

    @precondition(_held)
    @rule(which=drawn.few, outcome=outcomes, keep=drawn.keeps, room=drawn.few)
    def settle_some(self, which: int, outcome: str, keep: Keep, room: int) -> None:
        if held := self._one_of(0, which):
            self.hands.settle(0, held, outcome, keep=keep, room=room)

    @precondition(_held)
    @rule(worker=drawn.workers, which=drawn.few)
    def cancel_a_run(self, worker: int, which: int) -> None:
        if held := self._one_of(worker, which):
            self.world.cancel(held.key.queue, held.key.id)

    @precondition(_held)
    @rule(
        worker=drawn.workers, which=drawn.few, outcome=outcomes, keep=drawn.keeps, delay=st.integers(0, 1),
        letter=st.booleans(), room=drawn.few,
    )  # fmt: skip
    def settle(self, worker: int, which: int, outcome: str, keep: Keep, delay: int, letter: bool, room: int) -> None:
        if held := self._one_of(worker, which):
            self.hands.settle(worker, held, outcome, keep=keep, delay=delay, letter=letter, room=room)

    @precondition(_ended)
    @rule(worker=drawn.workers, which=st.integers(0, 5), outcome=outcomes, keep=drawn.keeps)
    def settle_again(self, worker: int, which: int, outcome: str, keep: Keep) -> None:
        """A result of a run that is over: its call is repeated, or its worker comes back from the dead."""
        if held := self._one_of(worker, which, ended=True):
            self.hands.settle(worker, held, outcome, keep=keep)

    @precondition(_held)
    @rule(worker=drawn.workers, which=drawn.few)
    def write(self, worker: int, which: int) -> None:
        if held := self._one_of(worker, which):
            self.hands.write(held)

    @precondition(_held)
    @rule(worker=drawn.workers, which=drawn.few)
    def run_alone(self, worker: int, which: int) -> None:
        held = self._one_of(worker, which)
        if held and b"suspect" in held.fields:
            self.hands.mark_alone(worker, held)

    @rule(worker=drawn.workers, ended=st.booleans())
    def renew(self, worker: int, ended: bool) -> None:
        self.hands.renew(worker, ended=ended)

    @precondition(_held)
    @rule(worker=drawn.workers, queue=drawn.queues)
    def beat(self, worker: int, queue: str) -> None:
        self.hands.beat(worker, queue)

    @precondition(_held)
    @rule(worker=drawn.workers, dies=st.booleans())
    def lose_leases(self, worker: int, dies: bool) -> None:
        if dies:
            self.hands.die(worker)
        else:
            self.hands.lose_leases(worker)
