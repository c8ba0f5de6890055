"""What many jobs share can't be changed, and its copies can."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from crewline.wire.readonly import ReadOnlyDict, readonly

CHANGES: list[Callable[[dict[str, Any]], Any]] = [
    lambda opts: opts.update(attempts=2),
    lambda opts: opts.__setitem__("attempts", 2),
    lambda opts: opts.__delitem__("attempts"),
    lambda opts: opts.pop("attempts"),
    lambda opts: opts.popitem(),
    lambda opts: opts.setdefault("delay", 1),
    lambda opts: opts.clear(),
    lambda opts: opts.__ior__({"attempts": 2}),
    lambda opts: opts["backoff"].update(delay=2),
    lambda opts: opts["some"][0].update(delay=2),
]


@pytest.mark.parametrize("change", CHANGES)
def test_no_part_of_it_can_be_changed(change: Callable[[dict[str, Any]], Any]) -> None:
    plain = {"attempts": 1, "backoff": {"delay": 1}, "some": [{"delay": 1}]}
    shared = readonly(plain)
    assert isinstance(shared, ReadOnlyDict) and isinstance(shared["some"], tuple)
    with pytest.raises(TypeError, match=r"change a copy, dict\(job\.opts\)"):
        change(shared)
    copied = copy.deepcopy(shared)
    assert copied == plain and type(copied["backoff"]) is dict
    change(copied)
    assert copied != plain and shared == {**plain, "some": ({"delay": 1},)}
