"""The steps, as hypothesis draws and shrinks them."""

from __future__ import annotations

from typing import Any, ClassVar

from crewline import Backoff, Dedup, Keep
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.redis.model.invariants import violations
from tests.redis.model.world import ALL, QUEUES, World, Wrong

queues = st.sampled_from(QUEUES)
any_queue = st.sampled_from(ALL)
#: Ids that producers choose, so that an id comes back after its job is gone, ...
chosen = st.sampled_from(("a", "b", "c", "d"))
#: ... and those that the queue gave, newest first.
ids = chosen | st.sampled_from(("#0", "#1", "#2", "#3"))
workers = st.integers(0, 1)
few = st.integers(0, 2)
keeps = st.sampled_from((Keep(), Keep(count=0), Keep(count=1), Keep(age_seconds=60), Keep(count=1, age_seconds=60)))
retention = st.sampled_from((True, False, 1, Keep(age_seconds=60), Keep(count=1, age_seconds=60)))


def dedups() -> st.SearchStrategy[Dedup]:
    return st.builds(
        lambda name, ttl, extend, replace, last: Dedup(name, ttl, extend and ttl is not None, replace, last),
        st.sampled_from(("x", "y")), st.sampled_from((None, 60.0)), st.booleans(), st.booleans(), st.booleans(),
    )  # fmt: skip


def options(own_ids: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    choices: dict[str, st.SearchStrategy[Any]] = {
        "delay": st.sampled_from((60, 120)),
        "priority": st.integers(1, 2),
        "lifo": st.just(True),
        "attempts": st.integers(1, 2),
        "backoff": st.sampled_from((None, Backoff("fixed", 60, jitter=0))),
        "remove_on_complete": retention,
        "remove_on_fail": retention,
        "dedup": dedups(),
    }
    if own_ids:
        choices["job_id"] = chosen
    return st.fixed_dictionaries({}, optional=choices)


class Machine(RuleBasedStateMachine):
    """Jobs through two queues, two workers, and whoever keeps them in order."""

    url: ClassVar[str] = ""
    world: ClassVar[World]
    steps_made: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.world.begin()

    @invariant()
    def holds(self) -> None:
        world = self.world
        type(self).steps_made += 1
        world.before, world.now = world.now, world.look()
        if found := violations(world.now):
            lines = "\n".join(f"  {name}: {wrong}" for name, wrong in found)
            raise Wrong(f"after this step:\n{lines}\n{world.told()}")
        world.asked.clear()

    @rule(queue=queues, options=options())
    def add(self, queue: str, options: dict[str, Any]) -> None:
        self.world.add(queue, {}, options)

    @rule(worker=workers, queue=any_queue, room=st.integers(1, 3))
    def fetch(self, worker: int, queue: str, room: int) -> None:
        self.world.fetch(worker, queue, room)

    @rule(
        worker=workers, which=few, outcome=st.sampled_from(("completed", "failed", "retry", "back")), keep=keeps,
        delay=st.integers(0, 1), letter=st.booleans(), room=few,
    )  # fmt: skip
    def settle(self, worker: int, which: int, outcome: str, keep: Keep, delay: int, letter: bool, room: int) -> None:
        holds = self.world.workers[worker].holds
        if not holds:
            return
        held = holds[which % len(holds)]
        self.world.let_go(worker, held)
        result = self.world.result(held, outcome, keep=keep, delay_minutes=delay, letter=letter)
        self.world.fetch(worker, held.queue, room, result)

    @rule(queue=any_queue, ref=ids, children=st.booleans())
    def remove(self, queue: str, ref: str, children: bool) -> None:
        self.world.remove(queue, self.world.pick(queue, ref), children)
