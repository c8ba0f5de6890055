"""What was seen puts the keys of all that it concerns into the work queue, and no others."""

from __future__ import annotations

from typing import Any

from crewline_operator.kube.store import Store
from crewline_operator.loop.intake import Intake
from crewline_operator.loop.workqueue import WorkQueue
from crewline_operator.model.key import Key

from tests.unit.operator.factories import deployment, jobqueue_object

EMAILS = Key("JobQueue", "shop", "emails")
DIGEST = Key("ScheduledJob", "shop", "digest")


class Seen:
    """An intake, and what it put into the work queue since that was asked last."""

    def __init__(self) -> None:
        self.store = Store()
        self.work: WorkQueue[Key] = WorkQueue()
        self.pods: list[tuple[str, str]] = []
        self.intake = Intake(store=self.store, work=self.work, on_pod=self._on_pod)

    def _on_pod(self, pod: Any) -> None:
        self.pods.append((pod["metadata"]["name"], pod["metadata"]["resourceVersion"]))

    async def added(self) -> set[Key]:
        keys = {await self.work.get() for _ in range(len(self.work))}
        for key in keys:
            with self.work.processing(key):
                pass
        return keys


def scheduledjob(version: str = "11") -> dict[str, Any]:
    metadata = {"namespace": "shop", "name": "digest", "uid": "uid-9", "resourceVersion": version}
    return {"metadata": metadata, "spec": {"queueRef": {"name": "emails"}}}


async def test_a_jobqueue_concerns_the_scheduled_jobs_that_add_to_it() -> None:
    seen = Seen()
    seen.intake.on_object("ScheduledJob", scheduledjob(), gone=False)
    assert await seen.added() == {DIGEST}
    seen.intake.on_object("JobQueue", jobqueue_object(), gone=False)
    assert await seen.added() == {EMAILS, DIGEST}
    seen.intake.on_object("JobQueue", jobqueue_object(), gone=True)
    assert await seen.added() == {EMAILS, DIGEST}
    assert len(seen.store.jobqueues) == 0


async def test_what_the_store_knows_better_concerns_nobody() -> None:
    seen = Seen()
    seen.intake.on_object("ScheduledJob", scheduledjob("11"), gone=False)
    await seen.added()
    seen.intake.on_object("ScheduledJob", scheduledjob("10"), gone=False)
    assert await seen.added() == set()


async def test_a_child_concerns_the_jobqueue_that_its_label_names() -> None:
    seen = Seen()
    seen.intake.on_object("Deployment", deployment(1), gone=False)
    assert await seen.added() == {EMAILS}


async def test_pods_are_passed_on_once_in_each_version_and_when_they_are_gone() -> None:
    seen = Seen()

    def pod(version: str) -> dict[str, Any]:
        metadata = {"namespace": "shop", "name": "x", "uid": "u", "labels": {"crewline.dev/jobqueue": "emails"}}
        return {"metadata": metadata | {"resourceVersion": version}}

    seen.intake.on_list("Pod", [pod("3")], 4, None)
    seen.intake.on_object("Pod", pod("3"), gone=False)
    seen.intake.on_object("Pod", pod("5"), gone=False)
    seen.intake.on_object("Pod", pod("4"), gone=False)
    seen.intake.on_object("Pod", pod("6"), gone=True)
    assert seen.pods == [("x", "3"), ("x", "5"), ("x", "6")]
    assert await seen.added() == {EMAILS}
    seen.intake.on_object("Pod", pod("7"), gone=False)
    seen.intake.on_list("Pod", [], 8, None)
    assert seen.pods[3:] == [("x", "7"), ("x", "7")], "a list tells that it is gone"


async def test_of_a_list_only_what_was_not_known_is_looked_at() -> None:
    seen = Seen()
    seen.intake.on_object("ScheduledJob", scheduledjob("3"), gone=False)
    await seen.added()
    seen.intake.on_list("JobQueue", [jobqueue_object()], 12, None)
    assert await seen.added() == {EMAILS, DIGEST}
    seen.intake.on_list("JobQueue", [jobqueue_object()], 13, None)
    assert await seen.added() == set()
    seen.intake.on_list("ScheduledJob", [], 12, None)
    assert await seen.added() == {DIGEST}
    seen.intake.on_list("Deployment", [deployment(1)], 13, None)
    assert await seen.added() == {EMAILS}
    seen.intake.on_list("Deployment", [], 14, None)
    assert await seen.added() == {EMAILS}
    seen.intake.add_all()
    assert await seen.added() == {EMAILS}


async def test_an_edit_or_a_deletion_ends_the_backoff_of_what_failed_before() -> None:
    seen = Seen()
    seen.intake.on_object("JobQueue", jobqueue_object(), gone=False)
    await seen.added()

    def event(version: str, generation: int) -> dict[str, Any]:
        obj = jobqueue_object()
        obj["metadata"] |= {"resourceVersion": version, "generation": generation}
        return obj

    seen.work.failed(EMAILS)
    seen.intake.on_object("JobQueue", event("11", 4), gone=False)
    assert await seen.added() == set(), "its status has changed, or a label"
    seen.intake.on_object("JobQueue", event("12", 5), gone=False)
    assert await seen.added() == {EMAILS}
    seen.work.failed(EMAILS)
    seen.intake.on_object("JobQueue", event("13", 5), gone=True)
    assert await seen.added() == {EMAILS}
    seen.work.failed(DIGEST)
    seen.intake.on_object("ScheduledJob", scheduledjob(), gone=False)
    assert await seen.added() == {DIGEST}
    seen.work.failed(DIGEST)
    seen.intake.on_list("ScheduledJob", [], 20, None)
    assert await seen.added() == {DIGEST}


async def test_an_own_write_of_a_status_concerns_nobody_and_one_by_others_does() -> None:
    seen = Seen()
    seen.intake.on_object("JobQueue", jobqueue_object(), gone=False)
    await seen.added()

    def event(version: str, **status: Any) -> dict[str, Any]:
        obj = jobqueue_object() | {"status": status}
        obj["metadata"] |= {"resourceVersion": version}
        return obj

    with seen.store.jobqueues.expecting(jobqueue_object(), {"ready": "1/1"}):
        seen.intake.on_object("JobQueue", event("11", ready="1/1"), gone=False)
        assert await seen.added() == set(), "the watch was faster than the answer"
        seen.intake.on_object("JobQueue", event("12", ready="9/9"), gone=False)
        assert await seen.added() == {EMAILS}
    assert seen.store.jobqueues.put(event("13", ready="1/1"))
    seen.intake.on_object("JobQueue", event("13", ready="1/1"), gone=False)
    assert await seen.added() == set(), "the answer was faster than the watch"
    seen.intake.on_object("JobQueue", event("14"), gone=False)
    assert await seen.added() == {EMAILS}
