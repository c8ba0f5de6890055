"""The store: the newest version wins, and lists correct what watches missed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from crewline_operator.kube.errors import WentBack
from crewline_operator.kube.store import Store


def pod(name: str, version: int, jobqueue: str = "emails", uid: str = "u1") -> dict[str, Any]:
    labels = {"crewline.dev/jobqueue": jobqueue}
    metadata = {"namespace": "shop", "name": name, "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata | {"creationTimestamp": "2026-03-01T12:00:00Z", "managedFields": [{}]}}


def versions(store: Store, jobqueue: str = "emails") -> dict[str, str]:
    return {each["metadata"]["name"]: each["metadata"]["resourceVersion"] for each in store.pods_of("shop", jobqueue)}


def test_a_late_event_does_not_undo_a_newer_version() -> None:
    store = Store()
    assert store.pods.put(pod("a", 7))
    assert not store.pods.put(pod("a", 6))
    assert versions(store) == {"a": "7"}


def test_a_changed_label_moves_an_object_to_its_new_jobqueue() -> None:
    store = Store()
    store.pods.put(pod("a", 1))
    store.pods.put(pod("a", 2, jobqueue="reports"))
    assert versions(store) == {}
    assert versions(store, "reports") == {"a": "2"}


def test_a_late_deletion_does_not_remove_the_successor_of_the_same_name() -> None:
    store = Store()
    store.pods.put(pod("a", 5, uid="old"))
    store.pods.put(pod("a", 9, uid="new"))
    store.pods.remove(pod("a", 8, uid="old"))
    assert versions(store) == {"a": "9"}


def test_what_is_known_already_is_not_kept_again() -> None:
    store = Store()
    assert store.pods.put(pod("a", 7))
    assert not store.pods.put(pod("a", 7))


def test_nothing_that_was_on_its_way_brings_back_what_is_gone() -> None:
    store = Store()
    store.pods.put(pod("a", 5))
    store.pods.remove(pod("a", 9))
    assert store.pods.replace([pod("a", 5)], list_version=8).kept == [], "the list was begun before the deletion"
    assert not store.pods.put(pod("a", 8)), "an answer to a write from before the deletion"
    store.pods.put(pod("b", 5, uid="u2"))
    store.pods.replace([], list_version=20)
    assert not store.pods.put(pod("b", 19, uid="u2")), "no watch has told of this deletion"
    store.pods.put(pod("c", 5, uid="u3"))
    store.pods.remove(pod("c", 5, uid="u3"), math.inf)
    assert not store.pods.put(pod("c", 6, uid="u3")), "it was not there when it was asked for"
    assert versions(store) == {}


def test_a_deletion_that_comes_before_its_object_is_remembered_too() -> None:
    store = Store()
    store.pods.remove(pod("a", 9))
    assert not store.pods.put(pod("a", 5))


def test_what_left_a_watch_and_returned_is_let_in() -> None:
    """An object that loses the label a watch selects by is told as deleted, and comes back with its label."""
    store = Store()
    store.pods.put(pod("a", 5))
    store.pods.remove(pod("a", 9))
    assert store.pods.put(pod("a", 10))


def test_a_predecessor_does_not_come_back_over_its_successor_of_the_same_second() -> None:
    store = Store()
    store.pods.put(pod("a", 5, uid="old"))
    store.pods.put(pod("a", 9, uid="new"))
    assert not store.pods.put(pod("a", 6, uid="old"))
    store.pods.remove(pod("a", 10, uid="new"))
    assert not store.pods.put(pod("a", 6, uid="old"))
    assert versions(store) == {}


def test_a_list_removes_what_is_gone_but_not_what_came_after_it() -> None:
    store = Store()
    store.pods.put(pod("gone", 3))
    store.pods.put(pod("stays", 4))
    store.pods.put(pod("newer", 12))
    replaced = store.pods.replace([pod("stays", 4), pod("new", 9)], list_version=10)
    assert [each["metadata"]["name"] for each in replaced.gone] == ["gone"]
    assert [each["metadata"]["name"] for each in replaced.kept] == ["new"]
    assert versions(store) == {"stays": "4", "newer": "12", "new": "9"}


def test_a_list_that_is_older_than_the_one_before_is_of_restored_data() -> None:
    store = Store()
    store.pods.replace([pod("a", 90)], list_version=100)
    store.pods.replace([], list_version=50, namespace="other")
    store.pods.replace([pod("a", 90)], list_version=100)
    store.pods.replace([pod("a", 90)], list_version=0)
    with pytest.raises(WentBack, match="the list of Pods has version 60, and had 100 before"):
        store.pods.replace([pod("a", 55)], list_version=60)


def test_a_list_of_one_namespace_leaves_the_others() -> None:
    store = Store()
    store.pods.put(pod("a", 3))
    assert store.pods.replace([], list_version=10, namespace="other").gone == []
    assert versions(store) == {"a": "3"}


def test_managed_fields_are_not_kept() -> None:
    store = Store()
    store.pods.put(pod("a", 1))
    (kept,) = store.pods_of("shop", "emails")
    assert "managedFields" not in kept["metadata"]
