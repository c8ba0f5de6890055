"""The machine that hypothesis drives: the steps of steps_work.py and steps_upkeep.py, and what must hold after each."""

from __future__ import annotations

from typing import ClassVar

from hypothesis.stateful import RuleBasedStateMachine, invariant

from tests.redis.model import changes, invariants
from tests.redis.model.hands import Hands
from tests.redis.model.steps_apart import Apart
from tests.redis.model.steps_flows import LargeFlows
from tests.redis.model.steps_larger import Larger
from tests.redis.model.steps_upkeep import Upkeep, UpkeepOfJobs
from tests.redis.model.steps_work import Produce, Work
from tests.redis.model.wakeups import Notices
from tests.redis.model.world import World, Wrong, nothing_goes


class Machine(Produce, LargeFlows, Work, Apart, Larger, Upkeep, UpkeepOfJobs, RuleBasedStateMachine):
    """Jobs through two queues, two workers, and whoever keeps them in order.

    `world` is one for all runs: each run empties it.
    """

    world: World
    steps_made: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.world.begin()
        self.hands = Hands(self.world)
        self.notices = Notices()

    @invariant()
    def holds(self) -> None:
        world, hands = self.world, self.hands
        type(self).steps_made += 1
        world.before, world.now = world.now, world.look()
        found = [
            *invariants.violations(world.now),
            *changes.violations(world, hands),
            *self.notices.wrong(world.now, hands.asked),
            *(("nothing_is_refused", each) for each in world.refused),
        ]
        world.may_go, world.obliterated, world.cleared = nothing_goes, None, None
        world.refused.clear()
        hands.asked.clear()
        hands.settled.clear()
        hands.recovered.clear()
        self.judge(found)

    def judge(self, found: list[tuple[str, str]]) -> None:
        """Raises if anything is wrong."""
        if found:
            lines = "\n".join(f"  {name}: {wrong}" for name, wrong in found)
            raise Wrong(f"after the last step:\n{lines}\n{self.world.told()}")
