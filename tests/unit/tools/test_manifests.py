"""Whatever a reader applies is taken, and nothing that he applies overwrites what another page had him apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import manifests
from tests.crd_schema import refusals
from tests.manifests import PAGES, Shown, shown

ALL = shown()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_yaml_block_on_a_page_is_of_our_kinds(page: Path) -> None:
    assert all(each.kind in manifests.KINDS for each in manifests.on_page(page))


@pytest.mark.parametrize("each", ALL, ids=lambda each: f"{each.place}-{each.kind}-{each.name}")
def test_what_is_shown_is_what_the_crds_take(each: Shown) -> None:
    assert refusals(each.obj) == []


def work(each: Shown) -> Any:
    """What an object has done; how many do it, and where Redis lies, pages may vary."""
    spec = each.obj["spec"]
    return spec if each.kind == "ScheduledJob" else (spec["worker"].get("handler"), spec["worker"].get("command"))


def test_objects_of_one_name_are_one_thing_wherever_they_are_shown() -> None:
    first: dict[tuple[str, str], Shown] = {}
    for each in ALL:
        known = first.setdefault((each.kind, each.name), each)
        assert work(each) == work(known), f"{each.place} overwrites {each.kind} {each.name} of {known.place}"


def test_every_scheduled_job_that_is_shown_has_its_queue_beside_it() -> None:
    queues = {each.name for each in ALL if each.kind == "JobQueue"}
    assert {each.obj["spec"]["queueRef"]["name"] for each in ALL if each.kind == "ScheduledJob"} <= queues


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"worker": {"handler": "h:h", "concurency": 3}}, ".spec.worker.concurency is not known"),
        ({"worker": {"handler": "h:h", "concurrency": 0}}, ".spec.worker.concurrency: 0 is not from 1 to "),
        ({"worker": {"handler": "h:h", "execution": "Fork"}}, ".spec.worker.execution: 'Fork' is none of "),
        ({"worker": "h:h"}, ".spec.worker: 'h:h' is no object"),
        ({"redis": None}, ".spec.redis: None is no object"),
    ],
)
def test_a_wrong_manifest_is_refused(change: dict[str, Any], said: str) -> None:
    spec = {"redis": {"url": "redis://redis"}, "worker": {"handler": "h:h"}} | change
    (found,) = refusals({"apiVersion": "crewline.dev/v1alpha1", "kind": "JobQueue", "spec": spec})
    assert found.startswith(said)
