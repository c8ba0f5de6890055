"""What one step may change: these compare what Redis held before it and after it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.redis.model.hands import Hands
from tests.redis.model.picture import RELEASING, JobKey, link_of
from tests.redis.model.world import LETTERS, World


def no_job_goes_that_was_not_to_go(world: World, hands: Hands) -> Iterator[str]:
    after = {key for key, _ in world.now.jobs()}
    for key, _ in world.before.jobs():
        state = world.before.state(key)
        if key not in after and not world.may_go(key, state):
            yield f"{key} was {state}, and this step deleted it"


def a_hand_back_costs_neither_an_attempt_nor_a_start(world: World, hands: Hands) -> Iterator[str]:
    for settled in hands.settled:
        fields = world.now.job(settled.held.key)
        if settled.outcome != "back" or fields is None:
            continue
        # it may be under way again, by this very call
        again = world.now.state(settled.held.key) == "active"
        for count, due in (("atm", settled.held.attempts_made), ("ats", settled.held.started - 1 + again)):
            if int(fields.get(count, 0)) != due:
                yield f"{settled.held.key} was handed back: {count} is {fields.get(count, 0)} and was to be {due}"


def an_attempt_counts_once(world: World, hands: Hands) -> Iterator[str]:
    for settled in hands.settled:
        fields = world.now.job(settled.held.key)
        if settled.outcome == "back" or fields is None:
            continue
        had, has = settled.held.attempts_made, int(fields.get("atm", 0))
        if has != had + 1:
            yield f"{settled.held.key} {settled.outcome}: atm was {had} and is {has}"


def the_last_that_came_runs_after_the_job_that_stood_for_it(world: World, hands: Hands) -> Iterator[str]:
    for settled in hands.settled:
        queue, dedup_id = settled.held.key.queue, settled.held.fields.get(b"deid", b"").decode()
        was, now = world.before.queues[queue], world.now.queues[queue]
        if settled.outcome not in ("completed", "failed") or dedup_id not in was.kept_last:
            continue
        if not any(fields.get("deid") == dedup_id and now.unfinished(job_id) for job_id, fields in now.jobs.items()):
            yield f"{settled.held.key} {settled.outcome}: what dn:{dedup_id} kept was dropped"


def a_job_that_died_has_its_letter(world: World, hands: Hands) -> Iterator[str]:
    for settled in hands.settled:
        if settled.outcome != "failed" or not settled.letter:
            continue
        new = set(world.now.queues[LETTERS].jobs) - set(world.before.queues[LETTERS].jobs)
        told = [json.loads(world.now.queues[LETTERS].jobs[letter].get("data", "{}")) for letter in new]
        if not any(
            (each.get("queue"), each.get("jobId")) == (settled.held.key.queue, settled.held.key.id) for each in told
        ):
            yield f"{settled.held.key} failed for good and left no dead letter"


def a_child_that_fails_lets_its_parent_go(world: World, hands: Hands) -> Iterator[str]:
    """By what it says of its parent as it fails. One that had failed before it was linked anew says nothing, and its
    parent waits on, as in BullMQ."""
    for key, fields in world.now.jobs():
        if world.now.state(key) != "failed" or world.before.state(key) == "failed":
            continue
        parent = world.now.find(fields.get("parentKey", ""))
        if parent is None or not any(link_of(fields).get(policy) for policy in RELEASING):
            continue
        if str(world.queues[key.queue].keys.job(key.id)) in (
            world.now.queues[parent.queue].part(parent.id, "dependencies") or ()
        ):
            yield f"{key} has failed, and {parent} waits on for it, though it was not to: {fields.get('parent')}"


def nothing_of_an_obliterated_queue_is_left(world: World, hands: Hands) -> Iterator[str]:
    if world.obliterated is None:
        return
    for key in world.now.queues[world.obliterated].keys:
        # the marks of repeated calls go by themselves
        if ":repeated:" not in key:
            yield f"{world.obliterated} was obliterated, and {key} is there"


def no_iteration_is_due_after_its_schedules_end(world: World, hands: Hands) -> Iterator[str]:
    for queue in world.now.queues.values():
        for schedule, score in queue.plain.get("repeat", {}).items():
            end = queue.schedules.get(schedule, {}).get("endDate")
            planned = f"repeat:{schedule}:{score:.0f}"
            if end is not None and score > int(end) and queue.state(planned) in ("wait", "prioritized", "delayed"):
                yield f"{JobKey(queue.name, planned)} is due after its schedule's end, {end}"


CHANGES = (
    no_job_goes_that_was_not_to_go,
    a_hand_back_costs_neither_an_attempt_nor_a_start,
    an_attempt_counts_once,
    the_last_that_came_runs_after_the_job_that_stood_for_it,
    a_job_that_died_has_its_letter,
    a_child_that_fails_lets_its_parent_go,
    nothing_of_an_obliterated_queue_is_left,
    no_iteration_is_due_after_its_schedules_end,
)


def violations(world: World, hands: Hands) -> list[tuple[str, str]]:
    """What this step must not have changed, each with the name of the rule that it breaks."""
    return [(change.__name__, wrong) for change in CHANGES for wrong in change(world, hands)]
