"""The model finds what is wrong: each of these takes something out of the real scripts, and is found in a short run."""

from __future__ import annotations

import pytest
from crewline.redis.scripts import source

from tests.redis.model import driver, regressions
from tests.redis.model.world import Wrong
from tests.redis_server import RedisServer

#: Scripts that have the lines.
CHANGED = (
    "finish_and_fetch", "add_jobs", "remove_job", "recover_stalled", "extend_leases", "release_flow", "give_up_flow",
)  # fmt: skip

#: What is taken out -> what is put there, and an invariant that this breaks.
MUTATIONS = {
    "a worker is not told of new jobs": (
        "redis.call('ZADD', queue.marker, '0', '0')", "", "whatever_waits_is_told_to_a_worker",
    ),
    "nobody is told of a delayed job": (
        "redis.call('ZADD', queue.marker, whole(due), '1')", "", "whatever_is_delayed_is_told_to_a_worker",
    ),
    "what a deleted job waited for stays": (
        "job .. ':lock', job .. ':dependencies'", "job .. ':lock', job", "no_part_of_a_job_outlives_it",
    ),
    "a job that ended stays active": (
        "redis.call('LREM', q.active, '-1', id) > 0", "true", "an_id_is_in_exactly_one_state",
    ),
    "a parent is not let go by a child that may fail": (
        " or link.idof or link.rdof)", ")", "a_child_that_fails_lets_its_parent_go",
    ),
    "a worker is not told of what is behind many suspects": (
        "return found, #found < room and not ends", "return found, false",
        "a_fetch_leaves_nothing_that_it_had_room_for",
    ),
    "a call that comes after its repeat is carried out": (
        "if repeated and not again then", "if false then", "a call that came after its repeat leased",
    ),
    "a worker is not told that there is more than one call reads": (
        "      more = has_runnable(q)\n", "", "a_fetch_leaves_nothing_that_it_had_room_for",
    ),
    "what nobody read of is blamed": (
        "return unread and 'unbegun' or told[1] and", "return told[1] and", "a_look_blames_only_what_had_begun",
    ),
    "what was read late is still marked as unread": (
        "redis.pcall('HDEL', job, 'unread')", "", "has read of it, and it is marked as unread",
    ),
    "a suspect whose process died is taken for one that never began": (
        "if told.crashed then", "if false then", "a_hand_back_costs_neither_an_attempt_nor_a_start",
    ),
    "a suspect that raised in a process of its own stays apart": (
        "local suspect = told.tried and", "local suspect = false and", "a_suspect_that_was_tried_runs_as_any_other",
    ),
    "a crash is kept of a worker that lives": (
        "if heed(redis.pcall('HGET', job, 'blamed')) ~= start then return end", "if start then return end",
        "it lives, and its crashes are",
    ),
    "what waits for a larger worker runs in any": (
        "'-inf', whole(now * 4096 + 4095)", "'-inf', '+inf'", "waits for a larger worker, and another has fetched it",
    ),
    "a job that has ended is still one for larger workers": (
        "'blamed', 'unread', 'larger')", "'blamed', 'unread')", "no_job_that_ended_is_a_suspect",
    ),
    "a rate does not count": ("room = math.min(room, left)", "", "the rate allows"),
    "the repeat of a call with results brings nothing": (
        "  if again then", "  if again and not settled then", "a call with a result brought",
    ),
    "a job of a large tree is not let go": (
        "if heed(redis.pcall('SREM', waits, hold)) == 1 then",
        "if heed(redis.pcall('SREM', waits, hold)) == 2 then",
        "a_parent_that_waits_has_something_to_wait_for",
    ),
    "the rest of a tree that is given up stays": (
        "return { gone, left_of_flow() > 0 and 1 or 0, refusals }", "return { gone, 0 }",
        "that are settled are still listed",
    ),
    "jobs wait where BullMQ 5 loses them": (
        "return (parked == 'list' or parks) and queue.paused or queue.wait", "return queue.wait",
        "which has parked others, would lose them",
    ),
    "what is refused beside a job's end is not seen": (
        "redis.call('HSET', parent_key .. ':processed', child, value)", "error('no')", "nothing_is_refused",
    ),
    "an older job is kept than the last that came": (
        "or (not going[later] and redis.call('EXISTS', later) == 1))", ")", "came last, and an older one is kept",
    ),
    "what is kept goes with the job that is removed": (
        "    add_kept_last(queue, id, dedup_id)\n", "    redis.call('UNLINK', later)\n",
        "what_is_kept_goes_only_with_all_that_waits",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_model_finds_a_script_with_a_line_taken_out(name: str, redis_server: RedisServer) -> None:
    old, new, finding = MUTATIONS[name]
    with driver.machine_on(redis_server.url, {old: new}) as machine:
        assert any(old in source(script) for script in CHANGED), f"no script has {old!r} any more: take another line"
        with pytest.raises(Wrong, match=finding):
            driver.run_until_found(machine, finding, runs=1000, length=24)


def test_the_model_finds_that_a_job_runs_before_its_tree_is_there(redis_server: RedisServer) -> None:
    run = regressions.RUNS["a_job_of_a_tree_that_is_not_all_there_waits_though_its_child_is_gone"]
    found = pytest.raises(Wrong, match="no_part_of_a_tree_runs_before_all_of_it_is_there")
    with driver.machine_on(redis_server.url, {"redis.call('SCARD', waits) == 1)": "true)"}) as machine, found:
        regressions.play(machine(), run)


def test_the_model_finds_that_a_change_of_a_schedule_is_refused_half_way(redis_server: RedisServer) -> None:
    run = regressions.RUNS["a_change_of_a_schedule_that_is_refused_changes_nothing"]
    looks = "  if why then error(why, 0) end\n"
    assert looks in source("upsert_schedule") and looks in source("remove_schedule")
    found = pytest.raises(Wrong, match="what was refused has left traces")
    with driver.machine_on(redis_server.url, {looks: ""}) as machine, found:
        regressions.play(machine(), run)
