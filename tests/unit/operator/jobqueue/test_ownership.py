"""Whose an object is that has a child's name."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.effects.actions import Apply
from crewline_operator.jobqueue.children.ownership import Standing, standing
from crewline_operator.jobqueue.children.service_account import build_service_account

from tests.unit.operator.factories import deployment, jobqueue, observed
from tests.unit.operator.jobqueue.plans import actions, planned


def owned(**owner: Any) -> dict[str, Any]:
    """The ServiceAccount of `jobqueue()`, with parts of its owner replaced."""
    built = build_service_account(jobqueue())
    (reference,) = built["metadata"]["ownerReferences"]
    built["metadata"] |= {"uid": "uid-s", "ownerReferences": [reference | owner]}
    return built


def unowned(**labels: str) -> dict[str, Any]:
    return {"kind": "ServiceAccount", "metadata": {"name": "emails", "uid": "uid-s", "labels": labels}}


ORPHAN = {"app.kubernetes.io/managed-by": "crewline", "crewline.dev/jobqueue": "emails"}


@pytest.mark.parametrize(
    ("obj", "whose"),
    [
        (owned(), Standing.OURS),
        (owned(uid="uid-0"), Standing.EARLIER),
        (owned(uid="uid-0", kind="Deployment"), Standing.FOREIGN),
        (owned(uid="uid-0", name="mails"), Standing.FOREIGN),
        (owned(uid="uid-0", apiVersion="example.com/v1"), Standing.FOREIGN),
        (unowned(), Standing.FOREIGN),
        (unowned(**ORPHAN), Standing.OURS),
        (unowned(**ORPHAN | {"crewline.dev/jobqueue": "mails"}), Standing.FOREIGN),
        (unowned(**{"crewline.dev/jobqueue": "emails"}), Standing.FOREIGN),
    ],
)
def test_only_what_a_jobqueue_controls_or_left_behind_is_its_own(obj: dict[str, Any], whose: Standing) -> None:
    assert standing(obj, jobqueue()) is whose


def test_an_apply_is_for_the_object_that_was_looked_at_or_for_a_new_one() -> None:
    changed = planned(observed(service_account=owned(), deployment=deployment(0)))
    assert [(action.kind, action.uid) for action in actions(changed, Apply)] == [
        ("ServiceAccount", "uid-s"),
        ("Deployment", "uid-d"),
    ]
    made = planned(observed())
    assert [action.uid for action in actions(made, Apply)] == [None, None]
