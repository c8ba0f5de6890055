"""What one step may change: these compare what Redis held before it and after it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.redis.model.hands import Hands
from tests.redis.model.picture import ENDED, RELEASING, JobKey, held_for, is_suspect, link_of
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
        # where a process died that ran it alone, it was begun
        given_back = 0 if settled.how in ("crashed", "outgrown") else 1
        for count, due in (("atm", settled.held.attempts_made), ("ats", settled.held.started - given_back + again)):
            if int(fields.get(count, 0)) != due:
                yield f"{settled.held.key} was handed back: {count} is {fields.get(count, 0)} and was to be {due}"


def a_suspect_that_was_tried_runs_as_any_other(world: World, hands: Hands) -> Iterator[str]:
    for settled in hands.settled:
        fields = world.now.job(settled.held.key)
        if settled.how == "tried" and fields is not None and is_suspect(fields):
            yield f"{settled.held.key} raised in a process of its own, and is to run apart again: {fields}"


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


def what_is_kept_goes_only_with_all_that_waits(world: World, hands: Hands) -> Iterator[str]:
    for queue in world.now.queues.values():
        for dedup_id in set(world.before.queues[queue.name].kept_last) - set(queue.kept_last):
            comes = any(fields.get("deid") == dedup_id and queue.unfinished(i) for i, fields in queue.jobs.items())
            if not comes and world.cleared != queue.name:
                yield f"what dn:{dedup_id} of {queue.name} kept was dropped"


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


def no_part_of_a_tree_runs_before_all_of_it_is_there(world: World, hands: Hands) -> Iterator[str]:
    """But for one that was ended meanwhile, and is run again, and one of whose children somebody has ended, which may
    let it go."""
    for queue in world.now.queues.values():
        for job_id, parts in queue.parts.items():
            before, now = world.before.queues[queue.name].state(job_id), queue.state(job_id)
            waits = now in ("waiting-children", "none", *ENDED) or "failed" in parts or "unsuccessful" in parts
            if not waits and before in ("waiting-children", "none") and held_for(parts):
                yield f"{queue.name}/{job_id} is {now}, though {held_for(parts)} is not there yet"


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


def a_look_blames_only_what_had_begun(world: World, hands: Hands) -> Iterator[str]:
    """What nobody read of goes back as it was, twice in a row; all else that lost its worker is a suspect."""
    for look in hands.recovered:
        was, now = look.before.queues[look.queue], look.after.queues[look.queue]
        for job_id in was.within("active"):
            if job_id not in now.jobs or now.state(job_id) in ("active", "failed"):
                continue
            before, after = was.jobs[job_id], now.jobs[job_id]
            times, _, start = before.get("unread", "0:").partition(":")
            unread = start == before.get("processedOn") and int(times) <= 2
            began = 0 if unread else 1
            due = {name: _count(before, name) + began for name in ("suspect", "stc")}
            outgrown = look.larger_first and "larger" not in before
            alone = ("alone" in before or job_id == look.sole) and not outgrown
            due["crashes"] = _count(before, "crashes") + (alone and began)
            due["ats"] = _count(before, "ats") - unread
            for name, count in due.items():
                if _count(after, name) != count:
                    told = "nobody had read of it" if unread else "it had begun"
                    yield f"{look.queue}/{job_id} lost its worker, {told}: {name} is {_count(after, name)}, not {count}"


def crashes_count_only_where_a_start_ran_alone(world: World, hands: Hands) -> Iterator[str]:
    counted = {settled.held.key for settled in hands.settled if settled.how == "crashed"} | {
        JobKey(look.queue, job_id)
        for look in hands.recovered
        for job_id, fields in look.before.queues[look.queue].jobs.items()
        if "alone" in fields or job_id == look.sole
    }
    for key, fields in world.now.jobs():
        had, has = _count(world.before.job(key) or {}, "crashes"), _count(fields, "crashes")
        if has > had + (key in counted):
            yield f"{key}: crashes were {had} and are {has}"


def every_lease_was_told_to_a_worker(world: World, hands: Hands) -> Iterator[str]:
    known = {(held.key, held.token) for worker in hands.workers for held in worker.holds + worker.asleep + worker.ended}
    for queue in world.now.queues.values():
        for job_id in queue.within("active"):
            lock = queue.part(job_id, "lock")
            if lock is not None and (JobKey(queue.name, job_id), lock) not in known:
                yield f"{queue.name}/{job_id} is under the lease {lock}, of which no worker was told"


def _count(fields: dict[str, str], name: str) -> int:
    return int(fields.get(name, 0))


CHANGES = (
    no_job_goes_that_was_not_to_go,
    a_hand_back_costs_neither_an_attempt_nor_a_start,
    a_suspect_that_was_tried_runs_as_any_other,
    an_attempt_counts_once,
    the_last_that_came_runs_after_the_job_that_stood_for_it,
    what_is_kept_goes_only_with_all_that_waits,
    a_job_that_died_has_its_letter,
    a_child_that_fails_lets_its_parent_go,
    no_part_of_a_tree_runs_before_all_of_it_is_there,
    nothing_of_an_obliterated_queue_is_left,
    no_iteration_is_due_after_its_schedules_end,
    a_look_blames_only_what_had_begun,
    crashes_count_only_where_a_start_ran_alone,
    every_lease_was_told_to_a_worker,
)


def violations(world: World, hands: Hands) -> list[tuple[str, str]]:
    """What this step must not have changed, each with the name of the rule that it breaks."""
    return [(change.__name__, wrong) for change in CHANGES for wrong in change(world, hands)]
