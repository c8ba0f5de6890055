"""What longer runs of the model found, as the steps it came down to: each is played as hypothesis printed it."""

from __future__ import annotations

from collections.abc import Callable

from crewline import Dedup, FlowJob, Keep

from tests.redis.model.machine import Machine

Steps = Callable[[Machine], None]


def play(machine: Machine, steps: Steps) -> None:
    """Takes the steps; what must hold is looked at after each, as hypothesis does."""
    for name in dir(type(machine)):
        if hasattr(getattr(type(machine), name), "hypothesis_stateful_rule"):
            setattr(machine, name, _checked(machine, getattr(machine, name)))
    steps(machine)


def _checked(machine: Machine, step: Callable[..., None]) -> Callable[..., None]:
    def taken(**arguments: object) -> None:
        step(**arguments)
        machine.holds()

    return taken


def _run(state: Machine, outcome: str = "completed", keep: Keep | None = None) -> None:
    state.run_one(worker=0, queue="mail", outcome=outcome, keep=keep or Keep(), letter=False)


def a_cancel_mark_does_not_meet_the_next_job_of_that_id(state: Machine) -> None:
    state.add(queue="mail", options={"job_id": "a"})
    state.fetch(worker=0, queue="mail", room=1, unanswered=False, advance=True)
    state.cancel(queue="mail", ref="a")
    state.settle(worker=0, which=0, outcome="completed", keep=Keep(), delay=0, letter=False, room=0)


def obliterate_leaves_no_deduplication_key(state: Machine) -> None:
    state.add(queue="mail", options={"dedup": Dedup("x")})
    state.obliterate(queue="mail", pauses=True, force=False)


def a_parent_hears_of_a_child_that_is_removed_as_it_fails(state: Machine) -> None:
    state.add_flow(queue="mail", root=FlowJob("job", {}, [FlowJob("job", {})]))
    _run(state, "failed", Keep(count=0))


def a_parent_hears_of_a_failed_child_that_is_swept(state: Machine) -> None:
    state.add_flow(queue="mail", root=FlowJob("job", {}, [FlowJob("job", {})]))
    _run(state, "failed")
    state.sweep(queue="mail", state="failed", keep=Keep(count=0))


def a_parent_hears_of_a_child_whose_queue_is_obliterated(state: Machine) -> None:
    state.add_flow(queue="mail", root=FlowJob("job", {}, [FlowJob("job", {}, queue="side")]))
    state.obliterate(queue="side", pauses=True, force=False)


def an_iteration_is_removed_like_any_job(state: Machine) -> None:
    state.schedule(queue="mail", schedule="s", rhythm={"every": 60}, bounds={}, options={})
    _run(state)
    state.remove(queue="mail", ref="#1", children=False)


def a_change_of_a_schedule_that_is_refused_changes_nothing(state: Machine) -> None:
    state.schedule(queue="mail", schedule="s", rhythm={"cron": "0 3 * * *"}, bounds={}, options={})
    for command in ("HSET", "ZADD", "ZREM", "XADD", "UNLINK"):
        state.schedule_without(
            queue="mail", rhythm={"cron": "0 3 1-31 * *"}, bounds={}, options={}, command=command, ends=False
        )
        state.schedule_without(queue="mail", rhythm={}, bounds={}, options={}, command=command, ends=True)


def a_hand_back_is_no_start(state: Machine) -> None:
    state.add(queue="mail", options={})
    _run(state, "back")


def a_schedule_places_nothing_after_its_end(state: Machine) -> None:
    state.schedule(queue="mail", schedule="s", rhythm={"cron": "0 3 * * *"}, bounds={"end_minutes": 1}, options={})


def a_flow_has_no_children_of_a_job_that_was_not_added(state: Machine) -> None:
    state.add_flow(
        queue="mail",
        root=FlowJob(
            "job",
            {},
            [FlowJob("job", {}, [FlowJob("job", {})], options={"dedup": Dedup("x")})],
            options={"dedup": Dedup("x")},
        ),
    )


def a_deduplication_id_with_a_ttl_names_no_stranger(state: Machine) -> None:
    state.add(queue="mail", options={"job_id": "a", "dedup": Dedup("x", 60)})
    state.remove(queue="mail", ref="a", children=False)
    state.add(queue="mail", options={"job_id": "a"})


def a_cancelled_job_without_a_worker_leaves_no_mark(state: Machine) -> None:
    _lost(state)
    state.cancel(queue="mail", ref="a")


def a_suspect_that_is_cancelled_is_none_any_more(state: Machine) -> None:
    _lost(state)
    state.recover_stalled(queue="mail", looks=2, most=2)
    state.cancel(queue="mail", ref="a")


def an_active_job_that_is_cancelled_is_not_looked_at_as_stalled(state: Machine) -> None:
    _lost(state)
    state.recover_stalled(queue="mail", looks=1, most=2)
    state.cancel(queue="mail", ref="a")


def _lost(state: Machine) -> None:
    """A job that was to be cancelled, and whose worker is silent."""
    state.add(queue="mail", options={"job_id": "a"})
    state.fetch(worker=0, queue="mail", room=1, unanswered=False, advance=True)
    state.cancel(queue="mail", ref="a")
    state.lose_leases(worker=0, dies=False)


def a_job_that_has_ended_does_not_hold_its_deduplication_id_for_ever(state: Machine) -> None:
    state.add(queue="mail", options={"dedup": Dedup("x", 60)})
    _run(state)
    state.add(queue="mail", options={"dedup": Dedup("x", 60, extend=True, keep_last_if_active=True)})


def a_job_that_is_gone_does_not_hold_its_deduplication_id_for_ever(state: Machine) -> None:
    state.add(queue="mail", options={"dedup": Dedup("x", 60)})
    _run(state, keep=Keep(count=0))
    state.add(queue="mail", options={"dedup": Dedup("x", 60, extend=True, keep_last_if_active=True)})


def a_child_that_takes_the_place_of_its_parent_has_none(state: Machine) -> None:
    state.add(queue="mail", options={"job_id": "a", "dedup": Dedup("x"), "delay": 60})
    child = FlowJob("job", {}, options={"dedup": Dedup("x", replace=True)})
    state.add_flow(queue="mail", root=FlowJob("job", {}, [child], options={"job_id": "a"}))


def obliterate_leaves_nothing_of_a_worker_that_was_silent(state: Machine) -> None:
    state.add(queue="mail", options={})
    state.beat(worker=1, queue="mail")
    state.lose_leases(worker=1, dies=False)
    state.beat(worker=0, queue="mail")
    state.obliterate(queue="mail", pauses=True, force=False)


def a_place_under_a_limit_is_told_of_when_an_active_job_is_removed(state: Machine) -> None:
    _full(state)
    state.remove(queue="mail", ref="a", children=False)


def a_place_under_a_limit_is_told_of_when_active_jobs_are_cleaned(state: Machine) -> None:
    _full(state)
    state.clean(queue="mail", state="active", older_than=0, limit=None)


def a_place_under_a_limit_is_told_of_when_an_active_job_is_cancelled(state: Machine) -> None:
    _full(state)
    state.cancel(queue="mail", ref="a")


def a_job_of_a_tree_that_is_not_all_there_waits_though_its_child_is_gone(state: Machine) -> None:
    root = FlowJob("root", children=[FlowJob("middle", children=[FlowJob("leaf") for _ in range(2)])])
    state.add_in_parts(queue="mail", root=root, lives=1, then="")
    for job_id in [key.id for key, fields in state.world.now.jobs() if "parentKey" in fields]:
        state.remove(queue="mail", ref=job_id, children=False)


def _full(state: Machine) -> None:
    """A job whose worker is gone has the one place that there is, and another waits; nobody who looks has it."""
    state.set_global_concurrency(queue="mail", most=1)
    for job_id in ("a", "b"):
        state.add(queue="mail", options={"job_id": job_id})
    state.take_marker(worker=0, queue="mail")
    state.fetch(worker=0, queue="mail", room=1, unanswered=False, advance=True)
    state.lose_leases(worker=0, dies=True)
    state.fetch(worker=0, queue="mail", room=1, unanswered=False, advance=True)


def the_next_due_is_told_of_when_what_was_due_fills_its_worker(state: Machine) -> None:
    state.add_bulk(queue="mail", bulk=[{"delay": 60}, {"delay": 120}])
    state.take_marker(worker=0, queue="mail")
    state.time_passes(minutes=1)
    state.fetch(worker=0, queue="mail", room=1, unanswered=False, advance=True)


def what_is_kept_goes_with_a_job_that_is_drained_and_has_no_id_any_more(state: Machine) -> None:
    keep = {"dedup": Dedup("x", keep_last_if_active=True)}
    state.add(queue="mail", options=keep)
    state.fetch(worker=0, queue="mail", room=1, unanswered=False, advance=True)
    state.add(queue="mail", options=keep)
    state.settle(worker=0, which=0, outcome="retry", keep=Keep(), delay=60, letter=False, room=0)
    state.add(queue="mail", options={"dedup": Dedup("x", 60, extend=True)})
    state.time_passes(minutes=2)
    state.drain(queue="mail", delayed=True)


RUNS: dict[str, Steps] = {
    run.__name__: run
    for run in (
        a_cancel_mark_does_not_meet_the_next_job_of_that_id,
        obliterate_leaves_no_deduplication_key,
        a_parent_hears_of_a_child_that_is_removed_as_it_fails,
        a_parent_hears_of_a_failed_child_that_is_swept,
        a_parent_hears_of_a_child_whose_queue_is_obliterated,
        an_iteration_is_removed_like_any_job,
        a_change_of_a_schedule_that_is_refused_changes_nothing,
        a_hand_back_is_no_start,
        a_schedule_places_nothing_after_its_end,
        a_flow_has_no_children_of_a_job_that_was_not_added,
        a_deduplication_id_with_a_ttl_names_no_stranger,
        a_cancelled_job_without_a_worker_leaves_no_mark,
        a_suspect_that_is_cancelled_is_none_any_more,
        an_active_job_that_is_cancelled_is_not_looked_at_as_stalled,
        a_job_that_has_ended_does_not_hold_its_deduplication_id_for_ever,
        a_job_that_is_gone_does_not_hold_its_deduplication_id_for_ever,
        a_child_that_takes_the_place_of_its_parent_has_none,
        obliterate_leaves_nothing_of_a_worker_that_was_silent,
        a_place_under_a_limit_is_told_of_when_an_active_job_is_removed,
        a_place_under_a_limit_is_told_of_when_active_jobs_are_cleaned,
        a_place_under_a_limit_is_told_of_when_an_active_job_is_cancelled,
        a_job_of_a_tree_that_is_not_all_there_waits_though_its_child_is_gone,
        the_next_due_is_told_of_when_what_was_due_fills_its_worker,
        what_is_kept_goes_with_a_job_that_is_drained_and_has_no_id_any_more,
    )
}
