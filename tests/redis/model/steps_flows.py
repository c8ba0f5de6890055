"""The steps of producers of large trees, which are added in parts: some die between two of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from crewline import FlowJob
from crewline.redis.scripts.calls import add
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.redis.model import drawn
from tests.redis.model.world import World

#: Jobs of a tree that one call takes, so that small trees are large.
PART = 2


@contextlib.contextmanager
def _small_parts() -> Iterator[None]:
    kept = add.MOST_OF_FLOW
    add.MOST_OF_FLOW = PART
    try:
        yield
    finally:
        add.MOST_OF_FLOW = kept


class LargeFlows:
    """What producers of large trees do, and what becomes of their trees."""

    world: World

    def holds(self) -> None:
        raise NotImplementedError

    @rule(
        queue=drawn.queues, root=drawn.flows, lives=st.none() | st.integers(0, 3),
        then=st.sampled_from(("", "again", "settle")),
    )  # fmt: skip
    def add_in_parts(self, queue: str, root: FlowJob, lives: int | None, then: str) -> None:
        """`lives`: how many calls come to Redis before the producer dies; `then`: another adds the same tree again, or
        somebody settles what it left."""
        scripts = self.world.queues[queue].scripts
        root = self.world.named(root)
        with _small_parts():
            scripts.lives = lives  # type: ignore[attr-defined]
            self.world.add_flow(queue, root)
            scripts.lives = None  # type: ignore[attr-defined]
            if then == "again":
                self.holds()
                self.world.add_flow(queue, root)
        if then == "settle":
            self.holds()
            self.world.settle_flows(root.queue or queue)

    @precondition(lambda self: any(found.own.get("flows") for found in self.world.now.queues.values()))
    @rule(queue=drawn.queues)
    def settle_flows(self, queue: str) -> None:
        self.world.settle_flows(queue)
