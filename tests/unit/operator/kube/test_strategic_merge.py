"""The merge of a partial pod template, by the rules of Kubernetes."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.kube.strategic_merge import POD_LISTS, Unmergeable, merge_objects
from hypothesis import given
from hypothesis import strategies as st


def merged(base: dict[str, Any], partial: Any) -> dict[str, Any]:
    return merge_objects(base, partial, POD_LISTS, "spec")


WORKER = {"name": "worker", "image": "w:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}


def test_objects_are_merged_field_by_field_and_null_removes_one() -> None:
    base = {"securityContext": {"runAsUser": 1, "fsGroup": 2}, "hostNetwork": True}
    partial = {"securityContext": {"runAsUser": None, "fsGroup": 3}, "nodeSelector": {"disk": "ssd", "gone": None}}
    assert merged(base, partial) == {
        "securityContext": {"fsGroup": 3},
        "hostNetwork": True,
        "nodeSelector": {"disk": "ssd"},
    }


def test_containers_variables_and_mounts_are_known_by_their_keys() -> None:
    worker = WORKER | {"volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}], "args": ["a", "b"]}
    partial = {
        "containers": [
            {"name": "proxy", "image": "p:1"},
            {
                "name": "worker",
                "args": ["c"],
                "env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
                "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}, {"name": "data", "mountPath": "/data"}],
            },
        ]
    }
    worker_after, proxy = merged({"containers": [worker]}, partial)["containers"]
    assert proxy == {"name": "proxy", "image": "p:1"}
    assert worker_after == {
        "name": "worker",
        "image": "w:1",
        "args": ["c"],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}, {"name": "C", "value": "4"}],
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}, {"name": "data", "mountPath": "/data"}],
    }


def test_ports_of_one_number_and_two_protocols_are_two() -> None:
    both = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53}]
    partial = {"containers": [{"name": "worker", "ports": both}]}
    assert merged({"containers": [WORKER]}, partial)["containers"][0]["ports"] == both


def test_a_volume_has_one_source() -> None:
    base = {"volumes": [{"name": "tmp", "emptyDir": {}}]}
    claim = {"name": "tmp", "persistentVolumeClaim": {"claimName": "c"}}
    assert merged(base, {"volumes": [claim]})["volumes"] == [claim]
    sized = {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}
    assert merged(base, {"volumes": [sized]})["volumes"] == [sized]


def test_lists_without_keys_are_replaced() -> None:
    first, second = [{"key": "a", "operator": "Exists"}], [{"key": "b", "operator": "Exists"}]
    assert merged({"tolerations": first}, {"tolerations": second}) == {"tolerations": second}


@pytest.mark.parametrize(
    ("partial", "says"),
    [
        ({"containers": {"name": "worker"}}, r"spec.containers is not a list"),
        ({"containers": ["worker"]}, r"spec.containers\[\] is not an object"),
        ({"containers": [{"image": "p"}]}, r"spec.containers\[\].name is missing"),
        ({"containers": [{"name": "a"}, {"name": "a"}]}, r"spec.containers\[a\] is there twice"),
        ({"containers": [{"name": "worker", "env": [{"value": "1"}]}]}, r"spec.containers\[worker\].env\[\].name is"),
        ({"securityContext": 5}, r"spec.securityContext is not an object"),
    ],
)
def test_what_can_not_be_merged_is_told_by_its_field(partial: Any, says: str) -> None:
    with pytest.raises(Unmergeable, match=says):
        merged({"containers": [WORKER], "securityContext": {}}, partial)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["worker", "a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "env", "ports", "containers", "volumes", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)
PARTIALS = st.dictionaries(st.sampled_from(["containers", "volumes", "securityContext", "x", "y"]), JSON, max_size=4)


@given(PARTIALS)
def test_whatever_is_given_is_merged_or_told_and_a_second_time_changes_nothing(partial: dict[str, Any]) -> None:
    base = {"containers": [WORKER], "volumes": [{"name": "tmp", "emptyDir": {}}], "securityContext": {"x": 1}}
    try:
        once = merged(base, partial)
    except Unmergeable:
        return
    assert merged(once, partial) == once
    assert merged(base, {}) == base
