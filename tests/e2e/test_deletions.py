"""JobQueues that are deleted while no watch sees it: the operator lets go of them all the same."""

from __future__ import annotations

import functools

import pytest
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.resources import JOBQUEUES
from crewline_operator.loop import missed

from tests.e2e.inside import Inside
from tests.e2e.scene import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


def is_false(seen: bool) -> bool:
    return not seen


async def test_a_jobqueue_that_was_deleted_while_the_watch_was_away_is_let_go_when_it_begins_anew(
    inside: Inside,
) -> None:
    scene = inside.scene
    await scene.apply(inside.jobqueue("gone"), inside.jobqueue("stays"))
    async with inside.operator(watch=False) as operator:
        for name in ("gone", "stays"):
            await until(f"{name} is known", functools.partial(operator.knows, name))
        await scene.delete("JobQueue", "gone")
        # As kopf passes on a list: what is there, and no word of what is not.
        stays = await scene.get("JobQueue", "stays")
        assert stays
        operator.controller.on_object("JobQueue", stays, None)
        await until("gone is let go", lambda: operator.knows("gone"), is_false, seconds=20)
        assert await operator.knows("stays")


async def test_the_last_jobqueue_that_was_deleted_while_the_watch_was_away_is_let_go_too(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed, "LEFT_CHECK_SECONDS", 0.5)
    await inside.scene.apply(inside.jobqueue("gone"))
    async with inside.operator(watch=False) as operator:
        await until("it is known", lambda: operator.knows("gone"))
        await inside.scene.delete("JobQueue", "gone")
        await until("it is let go", lambda: operator.knows("gone"), is_false, seconds=20)


async def test_a_status_that_has_no_object_any_more_says_that_the_jobqueue_is_gone(inside: Inside) -> None:
    scene = inside.scene
    await scene.apply(inside.jobqueue("gone", scaling={"mode": "External"}))
    async with inside.operator(watch=False, status_seconds=0.5) as operator:
        await scene.wait_condition("gone", "RedisReachable", "Connected")
        await until("it is known", lambda: operator.knows("gone"))
        await scene.delete("JobQueue", "gone")
        # Numbers move, and nothing else does: they are written to a status that is not there.
        await scene.queue("gone").add("hello", {}, delay=3600)
        await until("it is let go", lambda: operator.knows("gone"), is_false, seconds=20)


async def test_what_was_decided_for_one_version_is_not_written_to_another_or_to_a_successor(inside: Inside) -> None:
    scene = inside.scene
    await scene.apply(inside.jobqueue("emails"))
    first = await scene.get("JobQueue", "emails")
    assert first
    await scene.apply(inside.jobqueue("emails", paused=True))
    with pytest.raises(ApiError) as changed:
        await inside.api.patch_status(JOBQUEUES, first, {"replicas": 3})
    await scene.delete("JobQueue", "emails")
    await scene.apply(inside.jobqueue("emails"))
    with pytest.raises(ApiError) as replaced:
        await inside.api.patch_status(JOBQUEUES, first, {"replicas": 3})
    assert (changed.value.status, replaced.value.status) == (409, 409)


async def test_a_status_that_was_planned_for_an_older_version_is_planned_again(inside: Inside) -> None:
    scene = inside.scene
    await scene.apply(inside.jobqueue("emails"))
    async with inside.operator(watch=False):
        await scene.wait_condition("emails", "RedisReachable", "Connected")
        await scene.apply(inside.jobqueue("emails", scaling={"minReplicas": 2}))
        # No watch tells of the edit: the write of a status does.
        await scene.queue("emails").add("hello", {})
        await scene.wait("emails", "has seen the edit", lambda seen: seen["status"]["desiredReplicas"] == 2)
