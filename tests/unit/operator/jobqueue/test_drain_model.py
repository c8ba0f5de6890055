"""The drain protocol as a whole, whatever comes in between: a model of a Deployment's pods, workers and Redis.

The operator's own plan is asked, with a view that lags behind, and its actions are carried out one by one: it may end
before any of them and begin anew knowing nothing. Answers of workers come late, jobs come and end, requests lapse,
somebody deletes pods, another template is rolled out, perhaps one whose workers never start, and another number of
workers is wanted at any moment. Where the guard refuses ReplicaSets all pods that are ready and not marked, no rollout
kills a busy worker that is ready.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from crewline_operator.effects.actions import Apply, Drain, Mark, Undrain, Unmark
from crewline_operator.jobqueue.children.template_digest import TEMPLATE_DIGEST
from crewline_operator.jobqueue.plan import Plan
from crewline_operator.model.deletion_cost import DELETION_COST, MARK, is_marked
from crewline_operator.model.worker import Worker
from crewline_operator.scaling.decide import History
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.unit.operator.factories import deployment, observed, of_template, pod
from tests.unit.operator.jobqueue.plans import SETTINGS, notes, planned, reading

T = TypeVar("T")

MOST = 4
NUMBER = st.integers(0, MOST)
#: Which of some things something happens to.
SOME = st.sets(st.integers(0, MOST - 1), min_size=1)


@dataclass
class Process:
    """A worker: what it follows and runs, and what its entry told last."""

    follows: str = ""
    jobs: int = 0
    told: tuple[str, int] | None = None


class Drains(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.tokens = itertools.count(1)
        self.wanted = self.replicas = self.has = self.updated = 0
        self.generation = self.observed = 1
        #: The Deployment's annotations, its template, and by how many replicas its ReplicaSets were made last.
        self.annotations: dict[str, str] = {}
        self.template = "r1"
        self.scaled = 0
        #: How many pods each ReplicaSet is to have, and how many it has lost in rollouts, which kill whom they like.
        self.sets: Counter[str] = Counter()
        self.rolled: Counter[str] = Counter()
        #: Pods were killed by somebody who knows of no marks.
        self.others_kill = False
        #: Templates whose pods never start.
        self.broken: set[str] = set()
        #: ReplicaSets are refused what they want to kill, unless it is marked or not ready.
        self.guarded = False
        self.pods: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, Process] = {}
        self.requests: dict[str, str] = {}
        self.last = Plan([], History())
        self.watch()

    @initialize(number=NUMBER, busy=SOME, wanted=NUMBER, guarded=st.booleans())
    def there_are_workers(self, number: int, busy: set[int], wanted: int, guarded: bool) -> None:
        self.replicas, self.wanted, self.guarded = number, wanted, guarded
        self.the_cluster_acts()
        self.a_worker_starts(set(range(number)))
        self.a_pod_is_ready(set(range(number)))
        self.watch()
        self.a_worker_fetches(busy)

    # -- the cluster

    def live(self) -> list[dict[str, Any]]:
        return [each for each in self.pods.values() if not each["metadata"].get("deletionTimestamp")]

    def can_start(self, each: dict[str, Any]) -> bool:
        return rollout_of(each) not in self.broken

    def jobs_of(self, each: dict[str, Any]) -> int:
        process = self.processes.get(each["metadata"]["uid"])
        return process.jobs if process else 0

    @rule()
    def the_deployment_is_looked_at(self) -> None:
        """By its controller: another number at once, another template step by step."""
        self.observed = self.generation
        surge = math.ceil(self.replicas / 4)
        if self.scaled != self.replicas:
            self.scaled = self.replicas
            live = [name for name, number in self.sets.items() if number] or [self.template]
            for name in live:
                self.sets[name] = self.replicas and self.sets[name]
            if self.replicas and len(live) == 1:
                self.sets[live[0]] = self.replicas
        else:
            free = self.replicas + surge - self.sets.total()
            self.sets[self.template] += max(min(free, self.replicas - self.sets[self.template]), 0)
            working = Counter(rollout_of(each) for each in self.live() if ready(each))
            old = [name for name, number in self.sets.items() if number and name != self.template]
            if any(working[name] > self.sets[name] for name in old):
                # It finds one that has more than it is to have, and ends there.
                return
            for name in [each for each in self.sets if each != self.template]:
                broken = min(self.sets[name], max(self.sets[name] - working[name], 0))
                fewer = broken or min(self.sets[name], max(working.total() - self.replicas, 0))
                self.sets[name] -= fewer
                self.rolled[name] += fewer
                working[name] -= 0 if broken else fewer

    @rule()
    def replica_sets_act(self) -> None:
        """They make pods, or kill them: those that are not ready, then the cheapest, then the newest."""
        for name in sorted({*self.sets, *map(rollout_of, self.live())}):
            live = [each for each in self.live() if rollout_of(each) == name]
            for _ in range(self.sets[name] - len(live)):
                made = pod(next(self.numbers), ready=False, rollout=name, annotations={TEMPLATE_DIGEST: name})
                self.pods[made["metadata"]["uid"]] = made
            live.sort(key=lambda each: each["metadata"]["creationTimestamp"], reverse=True)
            live.sort(key=lambda each: (ready(each), not is_marked(each)))
            for each in live[: max(len(live) - self.sets[name], 0)]:
                if self.guarded and ready(each) and not is_marked(each):
                    continue
                if self.jobs_of(each):
                    by_rollout = self.rolled[name] and not (self.guarded and ready(each))
                    assert by_rollout, f"busy {each['metadata']['name']} is killed"
                    self.rolled[name] -= 1
                each["metadata"]["deletionTimestamp"] = "now"
            self.rolled[name] = 0
        live = self.live()
        self.has, self.updated = len(live), sum(rollout_of(each) == self.template for each in live)

    def the_cluster_acts(self) -> None:
        self.the_deployment_is_looked_at()
        self.replica_sets_act()

    @rule(broken=st.booleans())
    def another_template_is_applied(self, broken: bool) -> None:
        """By the operator, whose store has the answer."""
        self.template = f"r{int(self.template[1:]) + 1}"
        self.broken |= {self.template} if broken else set()
        self.generation, self.updated, self.others_kill = self.generation + 1, 0, True
        self.seen_deployment = self.deployment()

    @rule(which=SOME)
    def somebody_deletes_a_pod(self, which: set[int]) -> None:
        for each in some(self.live(), which):
            each["metadata"]["deletionTimestamp"] = "now"
            self.others_kill = True

    @rule(which=SOME)
    def a_pod_is_gone(self, which: set[int]) -> None:
        leaving = [uid for uid, each in self.pods.items() if each["metadata"].get("deletionTimestamp")]
        for uid in some(leaving, which):
            del self.pods[uid]
            self.processes.pop(uid, None)

    @rule(which=SOME)
    def a_worker_starts(self, which: set[int]) -> None:
        """It beats before it fetches. That takes longer than a watch lags behind, or a ReplicaSet to kill it."""
        idle = [
            uid_of(each)
            for each in self.live()
            if uid_of(each) not in self.processes and self.sets[rollout_of(each)] and self.can_start(each)
        ]
        for uid in some(idle, which):
            self.watch()
            self.processes[uid] = Process()
            self.beat(uid)

    @rule(which=SOME)
    def a_pod_is_ready(self, which: set[int]) -> None:
        started = [each for each in self.live() if each["metadata"]["uid"] in self.processes and not ready(each)]
        for each in some(started, which):
            each["status"]["conditions"][0]["status"] = "True"

    @rule()
    def watch(self) -> None:
        """The operator sees what there is."""
        self.seen_pods = copy.deepcopy(list(self.pods.values()))
        self.seen_deployment = self.deployment()

    @rule()
    def the_pods_watch_lags(self) -> None:
        self.seen_deployment = self.deployment()

    def deployment(self) -> dict[str, Any]:
        built = deployment(self.replicas, generation=self.generation, annotations=dict(self.annotations))
        found = of_template(built, self.template)
        found["status"] |= {"observedGeneration": self.observed, "replicas": self.has, "updatedReplicas": self.updated}
        return found

    # -- workers

    def beat(self, uid: str) -> None:
        process = self.processes[uid]
        process.follows = self.requests.get(uid, "")
        process.told = process.follows, process.jobs

    @rule(which=SOME)
    def a_worker_beats(self, which: set[int]) -> None:
        for uid in some(list(self.processes), which):
            self.beat(uid)

    @rule(which=SOME)
    def a_worker_fetches(self, which: set[int]) -> None:
        free = [process for process in self.processes.values() if not process.follows and process.jobs < 2]
        for process in some(free, which):
            process.jobs += 1

    @rule()
    def all_workers_go_on(self) -> None:
        self.a_worker_beats(set(range(2 * MOST)))
        self.a_worker_fetches(set(range(2 * MOST)))

    @rule(which=SOME, looks=st.integers(0, 3))
    def requests_lapse(self, which: set[int], looks: int) -> None:
        """Redis was flushed, or has failed over; the operator asks again, by an old view of the pods.

        Where pods are about to be killed nobody can help that.
        """
        live = Counter(map(rollout_of, self.live()))
        if self.observed != self.generation or any(live[name] > self.sets[name] for name in live) or self.are_marked():
            return
        for uid in some(list(self.requests), which):
            del self.requests[uid]
        for _ in range(looks):
            self.the_operator_acts(beats=True)

    @rule(which=SOME)
    def a_job_ends(self, which: set[int]) -> None:
        for process in some([each for each in self.processes.values() if each.jobs], which):
            process.jobs -= 1

    @rule()
    def no_operator_for_half_a_minute(self) -> None:
        self.the_cluster_acts()
        if not self.are_marked():
            self.requests.clear()
        for uid in self.processes:
            self.beat(uid)

    def are_marked(self) -> bool:
        """Whether a rollout may kill pods for their marks at any moment, and is to find no busy one among them."""
        return self.guarded and len(self.sets) > 1 and any(map(is_marked, self.live()))

    # -- the operator

    @rule(number=NUMBER, looks=st.integers(0, 6), goes_on=st.booleans(), killed=st.booleans())
    def another_number_is_wanted(self, number: int, looks: int, goes_on: bool, killed: bool) -> None:
        """And the operator gets so far with it; workers that may have fetched once more before any is killed."""
        self.wanted = number
        for _ in range(looks):
            self.the_operator_acts(beats=True, sees=True)
        if goes_on:
            self.all_workers_go_on()
        if killed:
            self.the_cluster_acts()
            self.watch()

    @rule(rolls=st.booleans(), looks=st.integers(0, 4), goes_on=st.booleans(), killed=st.booleans())
    def newer_workers_are_there(self, rolls: bool, looks: int, goes_on: bool, killed: bool) -> None:
        """In a rollout, that may begin with it; the operator gets so far with the earlier ones."""
        if rolls:
            self.another_template_is_applied(broken=False)
        self.all_are_at_work_again()
        for _ in range(looks):
            self.the_operator_acts(beats=True, sees=True)
        if goes_on:
            self.all_workers_go_on()
        if killed:
            self.the_cluster_acts()
            self.watch()

    @rule()
    def all_are_at_work_again(self) -> None:
        self.the_cluster_acts()
        self.a_worker_starts(set(range(2 * MOST)))
        self.a_pod_is_ready(set(range(2 * MOST)))
        self.watch()

    @rule()
    def the_operator_begins_anew(self) -> None:
        self.last = Plan([], History())
        self.watch()

    @rule(
        beats=st.booleans(), sees=st.sampled_from([True, True, False]),
        reads=st.sampled_from([True, True, True, False]),
        ends_before=st.sampled_from([None, None, None, 0, 1, 2, 3]),
    )  # fmt: skip
    def the_operator_acts(
        self, beats: bool = False, sees: bool = False, reads: bool = True, ends_before: int | None = None
    ) -> None:
        if beats:
            self.a_worker_beats(set(range(len(self.processes))))
        if sees:
            self.watch()
        drains = any(is_marked(each) or each["metadata"].get("deletionTimestamp") for each in self.seen_pods)
        looked = self.last.looks or drains
        scaling = {"mode": "External", "minReplicas": 0, "maxReplicas": MOST}
        seen = observed(
            deployment=self.seen_deployment,
            pods=copy.deepcopy(self.seen_pods),
            looked=looked,
            workers=self.workers() if looked and reads else None,
            replica_sets=self.replica_sets(),
            reading=reading(active=sum(process.jobs for process in self.processes.values())),
        )
        told = replace(SETTINGS, scale_in_guard=self.guarded)
        result = planned(seen, settings=told, scaling=scaling, replicas=self.wanted)
        assert self.others_kill or ("Warning", "WrongPodKilled") not in notes(result)
        kinds = (Apply, Drain, Mark, Undrain, Unmark)
        for number, action in enumerate([each for each in result.actions if isinstance(each, kinds)]):
            if number == ends_before:
                self.the_operator_begins_anew()
                return
            if not self.carry_out(action):
                break
        self.last = result

    def replica_sets(self) -> list[dict[str, Any]]:
        """What there is is asked for, and only where there are several earlier ones."""
        if len({rollout_of(each) for each in self.seen_pods} - {self.template}) < 2:
            return []
        return [
            {
                "metadata": {"labels": {"pod-template-hash": name}, "creationTimestamp": f"{number:03}"},
                "spec": {"replicas": replicas},
            }
            for number, (name, replicas) in enumerate(self.sets.items())
        ]

    def workers(self) -> dict[str, Worker]:
        found = {}
        for each in self.seen_pods:
            uid = each["metadata"]["uid"]
            process, asked = self.processes.get(uid), self.requests.get(uid, "")
            if process is None or process.told is None:
                found[uid] = Worker(asked=asked)
            else:
                follows, jobs = process.told
                found[uid] = Worker(asked, True, follows == asked != "", jobs, jobs)
        return found

    def carry_out(self, action: Any) -> bool:
        """Do an action; whether those after it are to be done."""
        match action:
            case Drain(_, uids, holding):
                for uid in uids:
                    if uid not in self.requests:
                        self.requests[uid] = f"t{next(self.tokens)}"
                return all(self.requests.get(uid) == token for uid, token in holding.items())
            case Undrain(_, uids):
                for uid in uids:
                    self.requests.pop(uid, None)
            case Mark(_, uid):
                if uid not in map(uid_of, self.live()):
                    return False
                self.pods[uid]["metadata"].setdefault("annotations", {})[DELETION_COST] = MARK
            case Unmark(_, uid):
                if uid in self.pods:
                    self.pods[uid]["metadata"]["annotations"].pop(DELETION_COST, None)
            case Apply(manifest) if manifest["kind"] == "Deployment":
                self.annotations = dict(manifest["metadata"].get("annotations", {}))
                self.scale(manifest["spec"]["replicas"])
        return True

    def scale(self, replicas: int) -> None:
        live = self.live()
        if replicas < self.replicas and replicas < len(live):
            marked = [each for each in live if is_marked(each) and self.is_at_rest(each)]
            none = replicas == 0 and all(self.is_at_rest(each) or not self.is_seen(each) for each in live)
            assert len(live) - replicas <= len(marked) or none, "lowered by who may be busy"
        if replicas != self.replicas:
            self.replicas, self.generation = replicas, self.generation + 1
        # the answer is kept
        self.seen_deployment = self.deployment()

    def is_seen(self, each: dict[str, Any]) -> bool:
        return uid_of(each) in map(uid_of, self.seen_pods)

    def is_at_rest(self, each: dict[str, Any]) -> bool:
        uid = each["metadata"]["uid"]
        process = self.processes.get(uid)
        return uid in self.requests and (process is None or (process.jobs == 0 and bool(process.follows)))

    def teardown(self) -> None:
        """Once nothing else happens there are as many workers as wanted, and none of them is marked or drained."""
        for _ in range(24):
            for process in self.processes.values():
                process.jobs = 0
            self.the_operator_acts()
            self.watch()
            self.the_cluster_acts()
            self.a_pod_is_gone(set(range(3 * MOST)))
            for each in filter(self.can_start, self.live()):
                uid = each["metadata"]["uid"]
                if uid not in self.processes:
                    self.processes[uid] = Process()
                each["status"]["conditions"][0]["status"] = "True"
                self.beat(uid)
            self.watch()
        if self.template not in self.broken:
            assert len(self.live()) == self.replicas == self.wanted
        elif not 0 < self.wanted < self.replicas:
            # A rollout that does not end holds up no other scale-in.
            assert self.replicas == self.wanted
        assert not [each for each in self.live() if is_marked(each)]
        assert not [uid for uid in self.processes if uid in self.requests and uid in map(uid_of, self.live())]


def some(things: list[T], which: set[int]) -> list[T]:
    return [thing for number, thing in enumerate(things) if number in which]


def uid_of(each: dict[str, Any]) -> str:
    return str(each["metadata"]["uid"])


def rollout_of(each: dict[str, Any]) -> str:
    return str(each["metadata"]["labels"]["pod-template-hash"])


def ready(each: dict[str, Any]) -> bool:
    return bool(each["status"]["conditions"][0]["status"] == "True")


Drains.TestCase.settings = settings(max_examples=400, stateful_step_count=30, deadline=None)
TestDrains = Drains.TestCase


def test_rollouts_one_upon_the_other_end_under_the_guard() -> None:
    """Workers of the first template are busy; a Deployment goes on only once those that it has let go are gone."""
    model = Drains()
    model.there_are_workers(number=3, busy={0, 1, 2}, wanted=3, guarded=True)
    for _ in range(3):
        model.newer_workers_are_there(rolls=True, looks=0, goes_on=False, killed=True)
    model.teardown()
