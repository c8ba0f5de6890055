"""The steps of whoever keeps the queues in order: workers between jobs, the operator, a person."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from crewline import Keep
from crewline.queue.housekeeping import CLEANABLE
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.redis.model import drawn
from tests.redis.model.hands import Hands
from tests.redis.model.world import LETTERS, World

ended = st.sampled_from(("completed", "failed"))


def _there_are(*states: str) -> Callable[[Any], bool]:
    """Whether any queue has a job in one of these states, or any job: a step that can do nothing is not drawn."""
    return lambda machine: any(
        queue.within(*states) if states else queue.jobs for queue in machine.world.now.queues.values()
    )


class Upkeep:
    """What is done to many jobs, or to a queue."""

    world: World
    hands: Hands

    @precondition(_there_are("active"))
    @rule(queue=drawn.any_queue, looks=st.integers(0, 2), most=st.integers(1, 2), once=st.booleans())
    def recover_stalled(self, queue: str, looks: int, most: int, once: bool = False) -> None:
        """Without a look: somebody knows that a worker is dead, and by `once` whether a job of it may be why."""
        if looks == 0:
            self.hands.hand_back(0, queue, blame=once, most=most, fail_alone=most == 2, larger_first=True)
        for _ in range(looks):
            self.hands.recover(queue, most, once=once)

    @rule(queue=drawn.any_queue)
    def pause(self, queue: str) -> None:
        """Or resume, if it is paused."""
        if self.world.now.queues[queue].paused:
            self.world.on_queue("resume", queue, lambda q: q.resume())
        else:
            self.world.on_queue("pause", queue, lambda q: q.pause())

    @precondition(_there_are())
    @rule(queue=drawn.any_queue, pauses=st.booleans(), force=st.booleans())
    def obliterate(self, queue: str, pauses: bool, force: bool) -> None:
        if pauses:
            self.world.on_queue("pause", queue, lambda q: q.pause())
        self.world.obliterate(queue, force)

    @precondition(_there_are())
    @rule(
        queue=drawn.any_queue, state=st.sampled_from(CLEANABLE), older_than=st.sampled_from((0, 60)),
        limit=st.sampled_from((None, 1)),
    )  # fmt: skip
    def clean(self, queue: str, state: str, older_than: int, limit: int | None) -> None:
        self.world.clean(queue, state, older_than, limit)

    @precondition(_there_are("wait", "prioritized", "delayed"))
    @rule(queue=drawn.any_queue, delayed=st.booleans())
    def drain(self, queue: str, delayed: bool) -> None:
        self.world.drain(queue, delayed)

    @precondition(_there_are("completed", "failed"))
    @rule(queue=drawn.any_queue, state=ended, keep=drawn.keeps)
    def sweep(self, queue: str, state: str, keep: Keep) -> None:
        self.world.sweep(queue, state, keep)

    @precondition(lambda self: any(queue.schedules for queue in self.world.now.queues.values()))
    @rule(queue=drawn.queues)
    def heal(self, queue: str) -> None:
        self.world.on_queue("heal schedules", queue, lambda q: q.schedules.heal())

    @precondition(_there_are("completed", "failed"))
    @rule(queue=drawn.any_queue, state=ended, fresh=st.booleans())
    def retry_all(self, queue: str, state: str, fresh: bool) -> None:
        self.world.on_queue(f"retry all {state}", queue, lambda q: q.retry_all(state, fresh=fresh))

    @precondition(_there_are("delayed"))
    @rule(queue=drawn.queues)
    def promote_all(self, queue: str) -> None:
        self.world.on_queue("promote all", queue, lambda q: q.promote_all())

    @rule(queue=drawn.queues, most=st.sampled_from((None, 1, 2)))
    def set_global_concurrency(self, queue: str, most: int | None) -> None:
        self.world.on_queue(f"concurrency {most}", queue, lambda q: q.set_global_concurrency(most))

    @precondition(lambda self: self.world.now.queues[LETTERS].within("wait"))
    @rule(which=drawn.few)
    def replay(self, which: int) -> None:
        self.world.replay(which)

    @rule(minutes=st.sampled_from((1, 2, 60)))
    def time_passes(self, minutes: int) -> None:
        self.world.pass_by(minutes)


class UpkeepOfJobs:
    """What is done to one job."""

    world: World

    @precondition(_there_are())
    @rule(queue=drawn.any_queue, ref=drawn.ids, children=st.booleans())
    def remove(self, queue: str, ref: str, children: bool) -> None:
        self.world.remove(queue, self.world.pick(queue, ref), children)

    @precondition(_there_are())
    @rule(queue=drawn.queues, ref=drawn.ids)
    def cancel(self, queue: str, ref: str) -> None:
        self.world.cancel(queue, self.world.pick(queue, ref))

    @precondition(_there_are("completed", "failed"))
    @rule(queue=drawn.any_queue, ref=drawn.ids, fresh=st.booleans())
    def retry(self, queue: str, ref: str, fresh: bool) -> None:
        job_id = self.world.pick(queue, ref)
        self.world.on_queue(f"retry {job_id}", queue, lambda q: q.retry(job_id, fresh=fresh))

    @precondition(_there_are("delayed"))
    @rule(queue=drawn.queues, ref=drawn.ids, minutes=st.none() | drawn.minutes)
    def change_delay(self, queue: str, ref: str, minutes: int | None) -> None:
        """Another delay, or none any more."""
        job_id = self.world.pick(queue, ref)
        if minutes is None:
            self.world.on_queue(f"promote {job_id}", queue, lambda q: q.promote(job_id))
        else:
            self.world.on_queue(f"delay {job_id} {minutes} min", queue, lambda q: q.change_delay(job_id, minutes * 60))

    @precondition(_there_are())
    @rule(queue=drawn.queues, ref=drawn.ids, priority=st.none() | drawn.priorities, first=st.booleans())
    def change(self, queue: str, ref: str, priority: int | None, first: bool) -> None:
        """Another priority, or other data."""
        job_id = self.world.pick(queue, ref)
        if priority is None:
            self.world.on_queue(f"update data {job_id}", queue, lambda q: q.update_data(job_id, {"new": True}))
        else:
            told = f"priority {priority} for {job_id}"
            self.world.on_queue(told, queue, lambda q: q.change_priority(job_id, priority, first=first))
