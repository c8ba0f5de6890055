"""Edits of spec.queue at any time, deaths of the operator at any step: nothing is left behind, and no run comes twice.

The plans of JobQueue and ScheduledJob are the real ones; Redis is what the engine's scripts make of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from crewline_operator.effects.actions import AddRun, Claim, Follow, GiveUpClaim, TakeBackRun, Unfollow, WriteStatus
from crewline_operator.effects.done import Claimed
from crewline_operator.jobqueue.move import Settled, may_move, settle
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.plan import plan
from crewline_operator.jobqueue.serving import serving
from crewline_operator.jobqueue.spec import parse_jobqueue
from crewline_operator.model.left import Left
from crewline_operator.model.marks import Mark
from crewline_operator.model.moments import epoch_ms, timestamp
from crewline_operator.model.owner import Owner
from crewline_operator.redis.reading import Reading
from crewline_operator.scaling.decide import History
from crewline_operator.scheduledjob import observed as scheduledjob_observed
from crewline_operator.scheduledjob.observed import Runs, RunState
from crewline_operator.scheduledjob.plan import plan as plan_schedule
from crewline_operator.scheduledjob.spec import parse_scheduledjob
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.unit.operator.factories import CLOCK, ENDPOINT, ME, jobqueue_object, patched, snapshot
from tests.unit.operator.jobqueue.plans import SETTINGS

QUEUES = st.sampled_from(["a", "b", "c"])
DIGEST = Owner("cluster-1", "shop", "digest", "uid-9")
NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Queue:
    """A queue in Redis: its jobs and when each is due, and what is known of the ScheduledJob's runs."""

    jobs: dict[str, int] = field(default_factory=dict)
    mark: Mark | None = None
    owner: Owner | None = None

    def seen_mark(self, now_ms: int) -> Mark:
        """As the scripts read it: a run that lay ahead and has come due is decided."""
        mark = self.mark or Mark(DIGEST, 0)
        if mark.ahead_ms is not None and mark.ahead_ms <= now_ms:
            return replace(mark, decided_ms=max(mark.decided_ms, mark.ahead_ms), ahead_ms=None)
        return mark

    def add_run(self, run_ms: int, digest: str, now_ms: int) -> None:
        mark = self.seen_mark(now_ms)
        if run_ms <= mark.decided_ms or run_ms == mark.begun_ms:
            return
        if run_ms > now_ms and mark.ahead_ms is not None:
            if (mark.ahead_ms, mark.digest) == (run_ms, digest):
                return
            mark = self._take_back(mark)
        self.jobs.setdefault(f"uid-9-{run_ms}", run_ms)
        ahead = {"ahead_ms": run_ms, "digest": digest} if run_ms > now_ms else {"decided_ms": run_ms}
        self.mark = replace(mark, **ahead)

    def take_back_run(self, now_ms: int, forget: bool) -> None:
        mark = self.seen_mark(now_ms)
        if mark.ahead_ms is not None:
            mark = self._take_back(mark)
        self.mark = None if forget else mark

    def _take_back(self, mark: Mark) -> Mark:
        gone = self.jobs.pop(f"uid-9-{mark.ahead_ms}", None)
        return replace(mark, ahead_ms=None, begun_ms=mark.begun_ms if gone is not None else mark.ahead_ms)


class Moves(RuleBasedStateMachine):
    """One JobQueue, one ScheduledJob that adds to it each minute, and producers who add wherever they like."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOON
        self.queues = {name: Queue() for name in ("a", "b", "c")}
        self.obj = jobqueue_object(queue="a") | {"status": {}}
        self.schedule: dict[str, Any] = {}
        self.added = 0
        self.ran: list[str] = []
        self.restart()

    # What the operator's process knows.
    @rule()
    def restart(self) -> None:
        self.claimed: Claimed | None = None
        self.followed: str | None = None

    @rule(queue=QUEUES)
    def edit(self, queue: str) -> None:
        self.obj["spec"]["queue"] = queue

    @rule(queue=QUEUES)
    def add(self, queue: str) -> None:
        self.added += 1
        self.queues[queue].jobs[f"job-{self.added}"] = self._now_ms

    @rule(seconds=st.sampled_from([1, 5, 57, 58, 59, 60, 61, 200]))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule()
    def work(self) -> None:
        """The workers of the queue that is served run all that is due."""
        queue = self.queues[self._served]
        for job_id in [job_id for job_id, due in queue.jobs.items() if due <= self._now_ms]:
            del queue.jobs[job_id]
            self.ran.append(job_id)

    @rule(steps=st.sampled_from([99, 99, 0, 1, 2, 3]))
    def reconcile_jobqueue(self, steps: int = 99) -> None:
        """The operator dies after so many steps."""
        settled = self._settled()
        planned = plan(settled.jobqueue, self._observed(settled), SETTINGS)
        for action in planned.actions[:steps]:
            queue = self.queues[action.queue.queue] if hasattr(action, "queue") else Queue()
            match action:
                case Claim():
                    queue.owner, self.claimed = action.owner, Claimed(action.queue, ME, ENDPOINT.shown, CLOCK)
                case GiveUpClaim():
                    queue.owner, self.claimed = None, None
                case Follow(_, target):
                    self.followed = target.queue
                case Unfollow():
                    self.followed = None
                case TakeBackRun(forget=forget):
                    queue.take_back_run(self._now_ms, forget)
                case WriteStatus(patch):
                    self._write(dict(patch))
        if steps < len(planned.actions):
            self.restart()

    @rule(written=st.booleans())
    def reconcile_schedule(self, written: bool = True) -> None:
        """Without `written` the operator dies after it has been to Redis."""
        if self.followed != self._served or "served" not in self.obj["status"]:
            return
        metadata = {"namespace": "shop", "name": "digest", "uid": "uid-9", "creationTimestamp": timestamp(NOON)}
        job = {"name": "digest", "data": {}}
        spec = {"queueRef": {"name": "emails"}, "schedule": "* * * * *", "job": job}
        scheduled = parse_scheduledjob({"metadata": metadata, "spec": spec})
        queue = self.queues[self._served]
        ids = [run["id"] for run in self.schedule.get("active", ())]
        ids += [self.schedule["placed"]["id"]] if "placed" in self.schedule else []
        if queue.mark is not None:
            ids += [scheduled.job_id_ms(ms) for ms in (queue.mark.decided_ms, queue.mark.ahead_ms) if ms]
        ref = serving(self.obj).queue_ref
        states = {job_id: self._state(queue, job_id) for job_id in ids}
        runs = Runs(ref, self.now, states, queue.mark)
        seen = scheduledjob_observed.Observed(now=self.now, me=DIGEST, runs=runs, status=self.schedule)
        for action in plan_schedule(scheduled, seen, SETTINGS).actions:
            match action:
                case AddRun(run=run, digest=digest):
                    queue.add_run(epoch_ms(run), digest, self._now_ms)
                case TakeBackRun(forget=forget):
                    queue.take_back_run(self._now_ms, forget)
                case WriteStatus(patch) if written:
                    self.schedule = patched(self.schedule, dict(patch))
        if not written:
            self.restart()

    @rule()
    def go_on(self) -> None:
        """Some looks of an operator that nothing disturbs."""
        for _ in range(3):
            self.reconcile_jobqueue()
            self.reconcile_schedule()

    @rule(queue=QUEUES)
    def edit_in_peace(self, queue: str) -> None:
        self.go_on()
        self.work()
        self.edit(queue)
        self.reconcile_jobqueue()

    @invariant()
    def no_run_comes_twice(self) -> None:
        jobs = [*self.ran, *(job_id for queue in self.queues.values() for job_id in queue.jobs)]
        assert len(jobs) == len(set(jobs)), jobs

    def teardown(self) -> None:
        """Left alone, it comes to what the spec says, with all done and the next run where it belongs."""
        for _ in range(12):
            self.work()
            self.reconcile_jobqueue()
            self.reconcile_schedule()
            self.wait(1)
        wanted = self.obj["spec"]["queue"]
        assert self._served == self.followed == wanted
        self.reconcile_schedule()
        self.work()
        placed = {name: [job for job in queue.jobs if job.startswith("uid-9")] for name, queue in self.queues.items()}
        assert [name for name, jobs in placed.items() if jobs] == [wanted] and len(placed[wanted]) == 1
        self.no_run_comes_twice()

    @property
    def _now_ms(self) -> int:
        return epoch_ms(self.now)

    @property
    def _served(self) -> str:
        queue: str = serving(self.obj).queue
        return queue

    def _settled(self) -> Settled:
        wanted = parse_jobqueue(self.obj)
        return settle(self.obj, wanted, ENDPOINT) if may_move(self.obj, wanted) else Settled(self.obj, wanted)

    def _observed(self, settled: Settled) -> Observed:
        jobqueue, move = settled.jobqueue, settled.move
        follows = self.followed == jobqueue.queue
        queue = self.queues[jobqueue.queue]
        if move is not None and follows:
            mark = queue.mark
            runs = [queue.jobs.get(f"uid-9-{mark.ahead_ms}")] if mark is not None else []
            jobs = len(queue.jobs) - sum(1 for due in runs if due is not None)
            left = Left(self._now_ms, jobs, (mark,) if mark is not None else ())
            move = replace(move, left=left, scheduled={"uid-9": self.schedule})
        seen = snapshot(waiting=len(queue.jobs), owner=queue.owner)
        return Observed(
            now=self.now,
            clock=CLOCK,
            me=ME,
            endpoint=ENDPOINT,
            status=self.obj["status"],
            followed=(ENDPOINT, replace(jobqueue.target, queue=self.followed)) if self.followed else None,
            reading=Reading(snapshot=seen) if follows else Reading(),
            claimed=self.claimed,
            move=move,
            history=History(),
        )

    def _write(self, patch: dict[str, Any]) -> None:
        before = self._served if "served" in self.obj["status"] else None
        if "served" in patch and patch["served"] is None and before is not None:
            left = self.queues[before]
            assert not left.jobs, f"{before} is left with {left.jobs}"
        self.obj["status"] = patched(self.obj["status"], patch)

    def _state(self, queue: Queue, job_id: str) -> RunState:
        if job_id in queue.jobs:
            return RunState("delayed" if queue.jobs[job_id] > self._now_ms else "waiting")
        return RunState("unknown")


TestMoves = Moves.TestCase
TestMoves.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
