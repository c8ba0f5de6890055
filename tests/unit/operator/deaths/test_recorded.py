"""Pods as a real kubelet and API server have told of them (1.37, cgroup v1), cut down to what tells of a worker's end.

Each is what a watch brought while tests/e2e/test_deaths.py ran; `recorded.json` has them by what was done to the pod.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from crewline_operator.deaths.causes import deaths_of

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("recorded.json").read_text())
OOM = ("OOMKilled in pod {}, whose memory limit is 128Mi", True, True)
EVICTED = ("pod {} was evicted (EvictionByEvictionAPI)", False, False)
DELETED = ("pod {} was deleted", False, False)
READY = "2026-11-29 09:18:15,613 INFO    crewline.worker ready: queue phoenix as {}"

#: For each the deaths that it tells of: the cause, whether a job may be it, and whether memory was.
TOLD: dict[str, list[tuple[str, bool, bool]]] = {
    "OOM-killed": [OOM],
    "OOM-killed, and started again": [OOM],
    "OOM-killed for the second time": [OOM, OOM],
    "OOM-killed, and backing off": [OOM],
    "scaled in after a child was OOM-killed": [DELETED],
    "evicted, and killed at the end of its grace period": [EVICTED],
    "the same, as it was seen last": [EVICTED],
    "exited": [(f"the worker in pod {{}} ended with exit code 3: {READY}", True, False)],
    "drained": [DELETED],
    "deleted by force": [],
}


def test_all_that_was_recorded_is_looked_at() -> None:
    assert RECORDED.keys() == TOLD.keys()


@pytest.mark.parametrize("name", TOLD)
def test_what_was_seen_of_a_death_tells_its_cause(name: str) -> None:
    pod = RECORDED[name]
    told = [(each.cause, each.blame, each.oom) for each in deaths_of(pod)]
    called = pod["metadata"]["name"]
    assert told == [(cause.replace("{}", called), blame, oom) for cause, blame, oom in TOLD[name]]
    assert len({each.container for each in deaths_of(pod)}) == len(told)
