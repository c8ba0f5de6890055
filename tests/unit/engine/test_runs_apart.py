"""Runs of one job, and those of one worker, are kept apart: by lease token, by option, by the slots they may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from crewline import Job, Keep, Queue
from crewline.worker.handlers.targets import Targets
from crewline.worker.runs import isolation
from crewline.worker.runs.interruptions import Interruptions
from crewline.worker.runs.isolation import Isolator
from crewline.worker.runs.run import Lease, Run, Status
from crewline.worker.runs.slots import Slots
from crewline.worker.runs.verdicts import Verdicts


async def handle(job: Job) -> None: ...


def a_run(token: str, job_id: str = "1", suspect: int = 0, **opts: Any) -> Run:
    job = Job(Queue("emails", redis="redis://nowhere"), job_id, "n", {}, opts, token)
    return Run(job, Lease(token, f"1:{token}"), suspect=suspect)


def verdicts(slots: Slots, **keep: Keep | None) -> Verdicts:
    return Verdicts(slots, 3, "retry", None, keep.get("keep_completed"), keep.get("keep_failed"))


def test_a_run_ends_by_the_loss_of_its_own_lease_alone() -> None:
    slots = Slots(2)
    run = a_run("later")
    slots.take(run)
    slots.start(run)
    interruptions = Interruptions(slots, verdicts(slots))
    # what the renewal tells of an earlier run of the job may come late
    interruptions.lose([("1", "earlier")])
    assert run.status is Status.RUNNING and slots.leases == {"1": run.lease}
    interruptions.lose([("1", "later")])
    assert run.status is Status.LOST and not slots.leases


def test_an_earlier_runs_end_leaves_the_lease_of_a_later_one() -> None:
    slots = Slots(2)
    earlier, later = a_run("earlier"), a_run("later")
    for run in (earlier, later):
        slots.take(run)
        slots.start(run)
    slots.end(earlier, None)
    assert slots.leases == {"1": later.lease}
    slots.end(later, None)
    assert not slots.leases


@pytest.mark.parametrize(("removes", "kept"), [(True, "0"), (False, "")])
def test_a_job_that_failed_is_kept_by_what_it_says_of_failures(removes: bool, kept: str) -> None:
    run = a_run("t", removeOnFail=removes, removeOnComplete=not removes)
    failed = verdicts(Slots(1)).failed(run, "why", "")
    completed = verdicts(Slots(1)).completed(run, "1")
    assert (failed.keep_failed, completed.keep_completed) == (kept, "" if removes else "0")


class Started:
    """Begins runs in slots and leaves them there; and tells of children that come by copying."""

    copying = False

    def __init__(self, slots: Slots) -> None:
        self.start = lambda run, alone=False: slots.start(run)
        self.has_none = lambda *_: False
        self.on_copying: Callable[[Callable[[], None]], None] = lambda callback: setattr(self, "more", callback)
        self.more: Callable[[], None]


@pytest.fixture
def one_child(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(isolation, "MOST_CHILDREN", 1)
    return


@pytest.mark.usefixtures("one_child")
def test_a_suspect_that_waits_begins_in_no_slot_that_a_call_was_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = Slots(2)
    started = cast(Any, Started(slots))
    calling = cast(Any, SimpleNamespace(children=started, childless=started))
    isolator = Isolator(cast(Any, None), 1000, slots, started, calling, Targets(handle, None))
    first, second = a_run("a", "1", suspect=1), a_run("b", "2", suspect=1)
    for run in (first, second):
        slots.take(run)
        isolator.receive(run)
    assert slots.runs == {first}
    room, _ = slots.reserve(1, 0)
    monkeypatch.setattr(isolation, "MOST_CHILDREN", 2)
    started.more()
    assert room == 1 and slots.runs == {first}
    slots.release(room, 0)
    assert slots.runs == {first, second}
