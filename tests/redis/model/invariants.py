"""What must hold after each step, whatever the steps were: of jobs and states, parents and children, keys and owners.

Each is a function whose name says it; it yields what is wrong. `wakeups` has those that tell of waiting workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.redis.model.picture import ENDED, HOLD, Picture, held_for

Invariant = Callable[[Picture], Iterator[str]]


def an_id_is_in_exactly_one_state(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for job_id, places in queue.places.items():
            if len(places) > 1:
                yield f"{queue.name}/{job_id} is in {places}"


def no_job_is_without_a_state(now: Picture) -> Iterator[str]:
    for key, fields in now.jobs():
        if not now.queues[key.queue].places.get(key.id):
            yield f"{key} has a hash ({', '.join(fields)}) and no state"
        elif "name" not in fields:
            yield f"the hash of {key} is no job: {fields}"


def no_state_names_a_job_that_is_gone(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for job_id, places in queue.places.items():
            if job_id not in queue.jobs:
                yield f"{queue.name}/{job_id} is in {places} and has no hash"


def nobody_waits_for_a_child_that_is_gone_or_cannot_end(now: Picture) -> Iterator[str]:
    """But for what BullMQ lets wait as well: a child that had failed before its policy changed, flows in a circle."""
    for queue in now.queues.values():
        for parent, parts in queue.parts.items():
            for child in parts.get("dependencies", ()):
                if child.endswith(HOLD):
                    continue
                for why in _cannot_end(now, queue.base + parent, child):
                    yield f"{queue.name}/{parent} ({queue.state(parent)}) waits for {child}: {why}"


def _cannot_end(now: Picture, parent: str, child: str) -> Iterator[str]:
    key = now.find(child)
    fields = now.job(key)
    if key is None or fields is None:
        yield "there is no such job"
        return
    if fields.get("parentKey") != parent:
        yield f"its parent is {fields.get('parentKey')}, so its end will not be told here"
    if now.state(key) == "completed":
        yield "it has completed"


def whoever_waits_for_a_tree_to_be_there_is_known_to_it(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for job_id, parts in queue.parts.items():
            for child in held_for(parts):
                key = now.find(child.removesuffix(HOLD))
                if key is None or f"flow:{key.id}" not in now.queues[key.queue].own:
                    yield f"{queue.name}/{job_id} waits for {child}, of which nothing is known: nobody lets it go"


def what_is_known_of_trees_is_listed(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        known = {suffix.removeprefix("flow:") for suffix in queue.own if suffix.startswith("flow:")}
        if known != set(queue.own.get("flows") or ()):
            yield f"{queue.name}: flows are {queue.own.get('flows')}, and there is something of {known}"


def a_parent_that_waits_has_something_to_wait_for(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for parent in queue.within("waiting-children"):
            if not queue.parts.get(parent, {}).get("dependencies"):
                yield f"{queue.name}/{parent} is in waiting-children and has no dependencies"


def a_child_is_pending_or_has_ended_for_its_parent_not_both(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for parent, parts in queue.parts.items():
            lists = [
                part for part in ("dependencies", "processed", "failed", "unsuccessful") for _ in parts.get(part, ())
            ]
            names = [
                child
                for part in ("dependencies", "processed", "failed", "unsuccessful")
                for child in parts.get(part, ())
            ]
            for child in {name for name in names if names.count(name) > 1}:
                where = [part for part, name in zip(lists, names, strict=True) if name == child]
                yield f"{queue.name}/{parent} has child {child} in {where}"


def a_child_that_runs_again_is_pending_again(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for parent, parts in queue.parts.items():
            for part in ("processed", "failed", "unsuccessful"):
                for child in parts.get(part, ()):
                    key, fields = now.find(child), now.job(now.find(child))
                    ours = fields is not None and fields.get("parentKey") == queue.base + parent
                    if key and ours and now.queues[key.queue].unfinished(key.id):
                        yield f"{key} is {now.state(key)}, and in :{part} of {queue.name}/{parent}"


def no_part_of_a_job_outlives_it(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for job_id, parts in queue.parts.items():
            if job_id not in queue.jobs:
                yield f"{queue.name}/{job_id} is gone, and left {', '.join(parts)}"


def only_active_jobs_are_under_a_lease(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for job_id, parts in queue.parts.items():
            if "lock" in parts and queue.state(job_id) != "active":
                yield f"{queue.name}/{job_id} is {queue.state(job_id)} under the lease {parts['lock']}"


def only_active_jobs_are_looked_at_as_stalled(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for job_id in queue.plain.get("stalled", ()):
            if queue.state(job_id) != "active":
                yield f"{queue.name}/{job_id} is {queue.state(job_id)} and in `stalled`: its next run is half condemned"


def a_deduplication_key_is_held_by_a_job_that_has_not_ended_or_for_a_time(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for dedup_id, holder in queue.dedup.items():
            if not queue.unfinished(holder) and f"de:{dedup_id}" not in queue.ttl:
                yield f"de:{dedup_id} of {queue.name} names {holder}, which is {queue.state(holder)}, for ever"


def a_deduplication_key_names_no_stranger(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for dedup_id, holder in queue.dedup.items():
            found = queue.jobs.get(holder)
            if found is not None and found.get("deid") != dedup_id:
                yield f"de:{dedup_id} of {queue.name} names {holder}, whose deduplication id is {found.get('deid')}"


def the_last_that_came_is_kept_beside_a_job_that_will_bring_it(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for dedup_id in queue.kept_last:
            if not any(fields.get("deid") == dedup_id and queue.unfinished(i) for i, fields in queue.jobs.items()):
                yield f"dn:{dedup_id} of {queue.name} waits for the end of a job that has ended"


def a_cancel_mark_is_for_a_job_that_has_not_ended(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for job_id, reason in (queue.own.get("cancels") or {}).items():
            if not queue.unfinished(job_id):
                yield f"{queue.name}/{job_id} is {queue.state(job_id)}, and marked to be cancelled ({reason})"


def a_schedule_has_its_record_and_its_time(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        timed = set(queue.plain.get("repeat", ()))
        for schedule in timed ^ set(queue.schedules):
            yield f"schedule {schedule} of {queue.name} has {'no record' if schedule in timed else 'no next time'}"


def no_job_that_ended_is_a_suspect(now: Picture) -> Iterator[str]:
    for key, fields in now.jobs():
        marked = {"alone", "suspect", "tried", "blamed", "unread", "larger"} & set(fields)
        if now.state(key) in ENDED and marked:
            yield f"{key} is {now.state(key)} and marked {marked}"


def only_a_job_that_runs_runs_alone(now: Picture) -> Iterator[str]:
    for key, fields in now.jobs():
        if "alone" in fields and now.state(key) != "active":
            yield f"{key} is {now.state(key)} and marked as one that runs alone: an innocent end will count as a crash"


def no_key_is_of_a_kind_that_nobody_knows(now: Picture) -> Iterator[str]:
    for key in now.strange:
        yield f"key {key}"


def every_key_without_an_end_is_a_queues_own(now: Picture) -> Iterator[str]:
    for queue in now.queues.values():
        for suffix in queue.own:
            # what is known of a tree that is added in parts stays until it is settled
            if suffix not in queue.ttl and suffix.partition(":")[0] not in ("flow", "flows"):
                yield f"{suffix} of {queue.name} in our own key space has no time to live"


INVARIANTS: tuple[Invariant, ...] = (
    an_id_is_in_exactly_one_state,
    no_job_is_without_a_state,
    no_state_names_a_job_that_is_gone,
    nobody_waits_for_a_child_that_is_gone_or_cannot_end,
    whoever_waits_for_a_tree_to_be_there_is_known_to_it,
    what_is_known_of_trees_is_listed,
    a_parent_that_waits_has_something_to_wait_for,
    a_child_is_pending_or_has_ended_for_its_parent_not_both,
    a_child_that_runs_again_is_pending_again,
    no_part_of_a_job_outlives_it,
    only_active_jobs_are_under_a_lease,
    only_active_jobs_are_looked_at_as_stalled,
    a_deduplication_key_is_held_by_a_job_that_has_not_ended_or_for_a_time,
    a_deduplication_key_names_no_stranger,
    the_last_that_came_is_kept_beside_a_job_that_will_bring_it,
    a_cancel_mark_is_for_a_job_that_has_not_ended,
    a_schedule_has_its_record_and_its_time,
    no_job_that_ended_is_a_suspect,
    only_a_job_that_runs_runs_alone,
    no_key_is_of_a_kind_that_nobody_knows,
    every_key_without_an_end_is_a_queues_own,
)


def violations(now: Picture) -> list[tuple[str, str]]:
    """What is wrong, each with the name of the invariant that it breaks."""
    return [(invariant.__name__, wrong) for invariant in INVARIANTS for wrong in invariant(now)]
