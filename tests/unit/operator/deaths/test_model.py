"""Nobody who lives is handed back, whatever comes late: a model of a pod's containers, its kubelet, a watch and Redis.

Containers end and are started again, at once or after the kubelet's backoff; what the kubelet tells the watch passes on
late, and in part; workers beat at any moment; the operator looks at any moment, and may forget all it has seen. A node
may come back with a clock behind the one it wrote the end of its containers with; its workers beat in time then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from crewline.worker.registry.presence import BEAT_SECONDS
from crewline_operator.deaths.causes import deaths_of
from crewline_operator.deaths.observed import Observed, Seen
from crewline_operator.deaths.plan import plan
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.operator.deaths.pods import BACKING_OFF, FINISHED_SECONDS, UID, moment, pod, terminated
from tests.unit.operator.factories import jobqueue

SHORT = st.sampled_from([0.001, 0.05, 0.2, 0.6, 0.999, 1.0, 3.0])
#: The kubelet starts a container at once that has ended for the first time, later ones after as much at least.
LEAST_GAP, LEAST_BACKOFF = 0.001, 1.0


@dataclass
class Container:
    """A container with a worker that began with it."""

    number: int
    began: float
    heard: float
    ended: float | None = None
    handed_back: bool = False

    @property
    def id(self) -> str:
        return f"containerd://c{self.number}"


class Deaths(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = FINISHED_SECONDS
        #: How far the node's clock is behind.
        self.behind = 0.0
        self.containers: list[Container] = []
        self.backing_off = False
        self.start()
        #: What the kubelet told that the watch has not passed on, and what it passed on last.
        self.told: list[dict[str, Any]] = []
        self.view = self.status()
        self.seen: dict[str, float] = {}

    @property
    def current(self) -> Container:
        return self.containers[-1]

    def start(self) -> None:
        self.containers.append(Container(len(self.containers), self.now - self.behind, self.now))
        self.backing_off = False

    def status(self) -> dict[str, Any]:
        """What the kubelet would tell now."""
        ended = [
            terminated(1, finished=moment(each.ended), containerID=each.id)
            for each in self.containers
            if each.ended is not None
        ]
        restarts = len(self.containers) - 1
        if self.current.ended is None:
            return pod({"running": {"startedAt": moment(self.now)}}, *ended[-1:], restarts=restarts)
        if self.backing_off:
            return pod(BACKING_OFF, ended[-1], restarts=restarts)
        return pod(ended[-1], *ended[-2:-1], restarts=restarts)

    @rule(seconds=SHORT)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        if self.behind and self.current.ended is None:
            self.current.heard = max(self.current.heard, self.now - BEAT_SECONDS)

    @precondition(lambda self: self.current.ended is None)
    @rule()
    def the_worker_beats(self) -> None:
        self.current.heard = self.now

    @precondition(lambda self: self.current.ended is None)
    @rule()
    def the_container_ends(self) -> None:
        self.current.ended = self.now - self.behind

    @precondition(lambda self: self.current.ended is not None and len(self.containers) > 1)
    @rule()
    def the_kubelet_backs_off(self) -> None:
        self.backing_off = True

    @precondition(lambda self: self.current.ended is not None)
    @rule(more=SHORT)
    def the_kubelet_starts_another(self, more: float) -> None:
        self.now += (LEAST_BACKOFF if len(self.containers) > 1 else LEAST_GAP) + more - 0.001
        self.start()

    @precondition(lambda self: self.current.ended is None)
    @rule(behind=st.sampled_from([0.5, 5.0, 3600.0]))
    def the_node_comes_back_with_its_clock_behind(self, behind: float) -> None:
        """That takes long enough for all to be passed on that was told before."""
        self.the_kubelet_tells()
        self.the_watch_passes_on(True)
        self.the_container_ends()
        self.behind += behind
        self.start()
        self.the_kubelet_tells()

    @rule()
    def the_kubelet_tells(self) -> None:
        self.told.append(self.status())

    @precondition(lambda self: self.told)
    @rule(all_of_it=st.booleans())
    def the_watch_passes_on(self, all_of_it: bool) -> None:
        self.view = self.told[-1 if all_of_it else 0]
        self.told = [] if all_of_it else self.told[1:]
        for death in deaths_of(self.view):
            self.seen.setdefault(death.container, self.now)

    @rule()
    def the_operator_begins_anew(self) -> None:
        self.seen = {death.container: self.now for death in deaths_of(self.view)}

    @rule()
    def the_operator_looks(self) -> None:
        deaths = [Seen(death, self.now - self.seen[death.container]) for death in deaths_of(self.view)]
        entries = [
            {"id": UID, "name": each.id, "leases": each.id, "began": each.began, "silent": self.now - each.heard}
            for each in self.containers
            if not each.handed_back
        ]
        for action in plan(jobqueue(), Observed(deaths, entries)).actions:
            (dead,) = (each for each in self.containers if each.id == action.worker["name"])
            assert dead.ended is not None, "it lives"
            dead.handed_back = True

    @invariant()
    def who_lives_keeps_its_jobs(self) -> None:
        assert not self.current.handed_back or self.current.ended is not None

    def teardown(self) -> None:
        """All is told at last: what can be told from its successor is handed back."""
        if self.behind:
            # Its end may seem to be before its beginning.
            return
        if self.current.ended is None:
            self.the_container_ends()
        self.the_kubelet_tells()
        self.the_watch_passes_on(True)
        self.the_operator_looks()
        assert self.current.handed_back or int(self.current.began) == int(self.current.ended or 0)
        self.backing_off = True
        self.the_kubelet_tells()
        self.the_watch_passes_on(True)
        self.the_operator_looks()
        assert self.current.handed_back


Deaths.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestDeaths = Deaths.TestCase
