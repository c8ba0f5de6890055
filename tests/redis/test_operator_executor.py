"""The operator's executor and what it observes of runs, on a real Redis: what is done, done once, and refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from crewline import FlowJob, Job, Keep, Queue, Reject, Worker
from crewline_operator.effects.actions import (
    INVALID_JOB,
    AddRun,
    Follow,
    Pause,
    RemoveJob,
    Sweep,
    TakeBackRun,
    Unfollow,
)
from crewline_operator.effects.errors import NotFollowed, NotRemoved, Refused
from crewline_operator.effects.executor import Executor
from crewline_operator.jobqueue.move import Settled
from crewline_operator.jobqueue.observe import JobQueueObserver
from crewline_operator.kube.api import Api
from crewline_operator.kube.budget import WriteBudget
from crewline_operator.kube.events import EventRecorder
from crewline_operator.kube.fence import Fence
from crewline_operator.kube.named import NamedObjects
from crewline_operator.kube.operators import OtherOperators
from crewline_operator.kube.store import Store
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Key
from crewline_operator.model.marks import Mark
from crewline_operator.model.moments import epoch_ms
from crewline_operator.model.note import Note
from crewline_operator.model.owner import Owner
from crewline_operator.redis.bulkhead import Bulkheads
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.left import read_left
from crewline_operator.redis.pollers import Pollers
from crewline_operator.redis.reading import Snapshot
from crewline_operator.redis.snapshot import read_snapshots
from crewline_operator.scaling.decide import History
from crewline_operator.scheduledjob.observe import ScheduledJobObserver
from crewline_operator.scheduledjob.observed import Runs, RunState
from crewline_operator.scheduledjob.spec import ScheduledJob, parse_scheduledjob
from kubernetes.aio import client as kube_client

from tests import redis_server
from tests.unit.operator.factories import jobqueue, jobqueue_object

EMAILS = jobqueue().key
DIGEST = Key("ScheduledJob", "shop", "digest")
REF = jobqueue().queue_ref
#: Nobody listens there.
NOWHERE = Endpoint("redis://127.0.0.1:1/0", "127.0.0.1:1/0")


class Operator:
    """An executor with a Redis and no cluster."""

    def __init__(self, api: Api) -> None:
        self.store = Store()
        self.pollers = Pollers(lambda _: None, 60.0)
        self.api = api
        self.again: list[Key] = []
        self.delays: list[float] = []
        self.bulkheads = Bulkheads(self.again.append, 2)
        self.fence = Fence.always_open()
        self.executor = Executor(
            api=api,
            store=self.store,
            pollers=self.pollers,
            events=EventRecorder(api),
            bulkheads=self.bulkheads,
            budget=WriteBudget(50, self.again.append),
            fence=self.fence,
            requeue=self.requeue,
        )

    def observer(self) -> JobQueueObserver:
        """What looks at JobQueues for it."""
        return JobQueueObserver(
            api=self.api,
            store=self.store,
            named=NamedObjects(self.api, self.again.append),
            pollers=self.pollers,
            bulkheads=self.bulkheads,
            done=self.executor.done,
            operator="ops/one",
            operators=OtherOperators(self.api),
        )

    def requeue(self, key: Key, seconds: float) -> None:
        self.again.append(key)
        self.delays.append(seconds)

    async def do(self, *actions: Any, key: Key = EMAILS) -> None:
        await self.executor.carry_out(key, jobqueue_object(), actions)


@pytest_asyncio.fixture
async def stranger() -> AsyncIterator[Operator]:
    """It follows no queue yet."""
    async with kube_client.ApiClient() as client:
        operator = Operator(Api(client))
        yield operator
        await operator.pollers.close()


@pytest_asyncio.fixture
async def operator(stranger: Operator, redis_url: str) -> Operator:
    """It follows the queue `emails`."""
    await stranger.do(Follow(Endpoint(redis_url, "shown"), jobqueue().target))
    return stranger


OWNER = Owner("cluster-1", "shop", "digest", "u")


def add(run: datetime, **options: Any) -> AddRun:
    job_id = f"u-{epoch_ms(run)}"
    return AddRun(REF, OWNER, run, "digest", {"n": 1}, {"job_id": job_id, "priority": 0} | options, "d")


async def test_a_run_is_added_once_however_often_that_is_asked_for(operator: Operator, queue: Queue) -> None:
    due, later = datetime(2026, 3, 1, tzinfo=UTC), datetime(2096, 3, 1, tzinfo=UTC)
    await operator.do(add(due, attempts=7), key=DIGEST)
    await operator.do(add(due), add(later), add(later), key=DIGEST)
    counts = await queue.metrics()
    assert (counts.waiting, counts.delayed) == (1, 1)
    job = await queue.get_job(f"u-{epoch_ms(due)}")
    assert job is not None
    assert (job.name, job.data, job.attempts) == ("digest", {"n": 1}, 7)
    seen = (await read_snapshots(queue.redis, [jobqueue().target]))[jobqueue().target]
    assert isinstance(seen, Snapshot)
    assert seen.schedulers == (OWNER,)


async def test_what_was_added_is_taken_back(operator: Operator, queue: Queue) -> None:
    due, later = datetime(2026, 3, 1, tzinfo=UTC), datetime(2096, 3, 1, tzinfo=UTC)
    gone = TakeBackRun(REF, "u", forget=True, optional=True)
    await operator.do(add(due), add(later), RemoveJob(REF, f"u-{epoch_ms(due)}"), gone, key=DIGEST)
    counts = await queue.metrics()
    assert (counts.waiting, counts.delayed) == (0, 0)
    seen = (await read_snapshots(queue.redis, [jobqueue().target]))[jobqueue().target]
    assert isinstance(seen, Snapshot)
    assert seen.schedulers == ()


async def test_a_job_that_was_started_since_it_was_looked_at_is_not_taken_for_removed(
    operator: Operator, queue: Queue, start_worker: Any
) -> None:
    started, end = asyncio.Event(), asyncio.Event()

    async def handle(_: Job) -> None:
        started.set()
        await end.wait()

    await start_worker(handle)
    job = await queue.add("digest", {}, job_id="run-1")
    await asyncio.wait_for(started.wait(), 5)
    with pytest.raises(NotRemoved, match="a worker has started job run-1"):
        await operator.do(RemoveJob(REF, "run-1"), add(datetime(2026, 3, 1, tzinfo=UTC)), key=DIGEST)
    assert (await queue.metrics()).waiting == 0
    end.set()
    await job.result(timeout=10)


async def test_a_pause_is_told_by_the_one_that_made_it(
    operator: Operator, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "crewline_operator")
    paused = Pause(REF, True, Note("Normal", "QueuePaused", "no more"))
    await operator.do(paused, paused)
    assert await queue.redis.hexists(queue.keys.meta, "paused")
    await operator.do(Pause(REF, False, Note("Normal", "QueueResumed", "go on")))
    assert not await queue.redis.hexists(queue.keys.meta, "paused")
    told = [record.getMessage() for record in caplog.records if record.name.endswith("events")]
    assert told == ["JobQueue shop/emails: QueuePaused: no more", "JobQueue shop/emails: QueueResumed: go on"]


async def test_a_pause_that_the_operator_s_user_may_not_make_is_told_and_tried_again(
    operator: Operator, queue: Queue
) -> None:
    paused = Pause(REF, True, Note("Normal", "QueuePaused", "no more"))
    await queue.redis.execute_command("ACL", "SETUSER", "default", "-hsetnx")
    try:
        await operator.do(paused)
    finally:
        await queue.redis.execute_command("ACL", "SETUSER", "default", "+hsetnx")
    denied = operator.executor.done(EMAILS).pause_denied
    assert denied is not None
    assert (denied.paused, denied.fault.reason) == (True, "RedisPermissionDenied")
    assert denied.fault.message.startswith("the queue can't be paused: Redis of JobQueue 'emails' ")
    assert operator.again == [EMAILS], "so that it is told"
    await operator.do(paused)
    assert operator.executor.done(EMAILS).pause_denied is None


async def test_retention_is_kept_on_a_queue_without_workers(
    operator: Operator, queue: Queue, start_worker: Any
) -> None:
    async def handle(_: Job) -> None:
        pass

    worker: Worker = await start_worker(handle)
    told = await queue.add("says", {}, remove_on_complete=Keep(age_seconds=3600))
    silent = await queue.add("says nothing", {}, remove_on_complete=False)
    for job in (told, silent):
        await job.result(timeout=10)
    await worker.stop()
    for job in (told, silent):
        await queue.redis.zadd(queue.keys.completed, {job.id: 1})
    await queue.redis.delete(queue.keys.extra("sweep"))
    before = await queue.redis.client_list()
    await operator.do(Sweep(REF))
    assert [await job.state() for job in (told, silent)] == ["unknown", "completed"]
    assert operator.executor.done(EMAILS).swept is not None
    assert len(await queue.redis.client_list()) <= len(before), "no connection is kept for it"


DUE = datetime(2026, 3, 1, tzinfo=UTC)
GONE = TakeBackRun(REF, "u", forget=True, optional=True)


async def test_a_job_that_no_queue_takes_is_refused_and_nothing_after_it_is_done(
    operator: Operator, queue: Queue
) -> None:
    runs = [DUE + timedelta(minutes=minutes) for minutes in range(3)]
    with pytest.raises(Refused) as refused:
        await operator.do(add(runs[0]), add(runs[1], priority=-1), add(runs[2]), key=DIGEST)
    assert refused.value.fault.reason == INVALID_JOB
    assert refused.value.fault.message.startswith("spec.job: ")
    assert [await queue.job_state(f"u-{epoch_ms(run)}") for run in runs] == ["waiting", "unknown", "unknown"]


async def test_a_redis_that_does_not_answer_is_told_but_for_what_may_fail(stranger: Operator) -> None:
    await stranger.do(Follow(NOWHERE, jobqueue().target))
    with pytest.raises(Refused) as refused:
        await stranger.do(add(DUE), key=DIGEST)
    assert refused.value.fault.reason == "RedisUnreachable"
    assert refused.value.fault.message.startswith("Redis of JobQueue 'emails' can't be reached")
    await stranger.do(GONE, key=DIGEST)


async def test_what_is_followed_no_more_is_not_reached(operator: Operator) -> None:
    await operator.do(Unfollow())
    with pytest.raises(NotFollowed):
        await operator.do(add(DUE), key=DIGEST)
    await operator.do(GONE, key=DIGEST)


async def test_a_new_queue_is_followed_before_anything_is_asked_of_the_api_server(stranger: Operator) -> None:
    """It is not there: whatever is asked of it fails."""
    observer = stranger.observer()
    seen = await observer.observe(Settled(jobqueue_object(), jobqueue()), History())
    assert seen.first_read_pending
    assert (seen.followed, seen.claimed, stranger.pollers.followed(EMAILS)) == (None, None, None)


def scheduled() -> ScheduledJob:
    metadata = {"namespace": "shop", "name": "digest", "uid": "u", "creationTimestamp": "2026-03-01T11:00:00Z"}
    spec = {"queueRef": {"name": "emails"}, "schedule": "* * * * *", "job": {"name": "digest"}}
    return parse_scheduledjob({"metadata": metadata, "spec": spec})


def served_jobqueue() -> dict[str, Any]:
    """The JobQueue `emails` once its status tells that it has its queue."""
    obj = jobqueue_object()
    obj["metadata"]["resourceVersion"] = "11"
    return obj | {"status": {"served": {"queue": "emails", "redis": obj["spec"]["redis"]}}}


async def observed(operator: Operator, **status: Any) -> Any:
    observer = ScheduledJobObserver(
        store=operator.store,
        pollers=operator.pollers,
        bulkheads=operator.bulkheads,
        done=operator.executor.done,
        cluster_id="cluster-1",
        operator="ops/one",
    )
    return await observer.observe({"status": status}, scheduled(), None)


async def test_runs_are_observed_as_they_are(operator: Operator, queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> None:
        if job.id == "bad":
            raise Reject("no address")

    worker: Worker = await start_worker(handle)
    operator.store.jobqueues.put(jobqueue_object())
    assert (await observed(operator)).runs.reason == "QueueNotReady", "it is not told yet that the queue is served"
    operator.store.jobqueues.put(served_jobqueue())
    ended = [await queue.add("digest", {}, job_id=job_id) for job_id in ("good", "bad")]
    await asyncio.gather(*(job.result(timeout=10) for job in ended), return_exceptions=True)
    await worker.stop()
    await queue.add("digest", {}, job_id="waits")
    await queue.add("digest", {}, job_id="later-1", delay=3600)
    soon = datetime(2096, 3, 1, tzinfo=UTC)
    await operator.do(add(DUE), add(soon), key=DIGEST)
    active = [{"id": job_id} for job_id in ("good", "bad", "waits", "gone")]
    seen = await observed(operator, active=active, placed={"id": "later-1", "queueRef": "emails"})
    assert isinstance(seen.runs, Runs)
    assert seen.runs.queue == REF
    assert abs(seen.runs.now - datetime.now(UTC)) < timedelta(minutes=1)
    states = {job_id: (run.state, run.reason) for job_id, run in seen.runs.states.items()}
    assert states == {
        "good": ("completed", None),
        "bad": ("failed", "no address"),
        "waits": ("waiting", None),
        "later-1": ("delayed", None),
        "gone": ("unknown", None),
        f"u-{epoch_ms(DUE)}": ("waiting", None),
        f"u-{epoch_ms(soon)}": ("delayed", None),
    }
    assert seen.runs.mark == Mark(OWNER, epoch_ms(DUE), epoch_ms(soon), "d")
    await queue.redis.hset(queue.keys.job("bad"), "failedReason", "x" * 50 * 2**20)
    large = await observed(operator, active=active)
    assert isinstance(large.runs, Runs)
    assert large.runs.states["bad"].reason == "(reason too large to show: 50 MiB)"
    assert seen.me == OWNER
    assert seen.runs.states["gone"] == RunState("unknown")
    assert seen.runs.states["good"].finished_ms


async def test_why_runs_are_not_known_is_observed_too(operator: Operator, tmp_path: Path) -> None:
    assert (await observed(operator)).runs.reason == "QueueNotFound"
    operator.store.jobqueues.put(served_jobqueue())
    await operator.do(Unfollow())
    assert (await observed(operator)).runs.reason == "QueueNotReady"
    server = redis_server.start(tmp_path)
    await operator.do(Follow(Endpoint(server.url, "shown"), jobqueue().target))
    server.stop()
    found = (await observed(operator)).runs
    assert isinstance(found, Fault)
    assert found.reason == "RedisUnreachable"


async def test_why_a_queue_is_not_ready_is_no_old_message(operator: Operator) -> None:
    def jobqueue_with(**degraded: Any) -> dict[str, Any]:
        version[0] += 1
        obj = jobqueue_object()
        obj["metadata"]["resourceVersion"] = str(version[0])
        return obj | {"status": {"conditions": [{"type": "Degraded", "message": "why"} | degraded]}}

    version = [20]
    await operator.do(Unfollow())
    for old in ({"status": "False", "observedGeneration": 4}, {"status": "True", "observedGeneration": 3}):
        operator.store.jobqueues.put(jobqueue_with(**old))
        found = (await observed(operator)).runs
        assert found.message == "JobQueue 'emails' has no queue in Redis yet: it has not been looked at yet"
    operator.store.jobqueues.put(jobqueue_with(status="True", observedGeneration=4))
    assert (await observed(operator)).runs.message == "JobQueue 'emails' has no queue in Redis yet: why"


async def test_the_queue_that_a_run_was_placed_in_before_is_found(operator: Operator) -> None:
    operator.store.jobqueues.put(jobqueue_object())
    assert (await observed(operator, placed={"id": "u-1", "queueRef": "emails"})).earlier_queue is None
    assert (await observed(operator, placed={"id": "u-1", "queueRef": "reports"})).earlier_queue is None
    reports = jobqueue_object()
    reports["metadata"] |= {"name": "reports", "uid": "uid-2"}
    operator.store.jobqueues.put(reports)
    found = (await observed(operator, placed={"id": "u-1", "queueRef": "reports"})).earlier_queue
    assert found.jobqueue == Key("JobQueue", "shop", "reports")


async def test_what_would_be_left_behind_are_jobs_of_any_kind_but_no_run_that_can_be_taken_back(
    operator: Operator, queue: Queue
) -> None:
    assert (await read_left(queue)).jobs == 0
    soon, later = datetime(2096, 3, 1, tzinfo=UTC), datetime(2097, 3, 1, tzinfo=UTC)
    await operator.do(add(soon), key=DIGEST)
    alone = await read_left(queue)
    assert (alone.jobs, [(mark.owner, mark.ahead_ms) for mark in alone.marks]) == (0, [(OWNER, epoch_ms(soon))])
    assert abs(alone.now_ms - datetime.now(UTC).timestamp() * 1000) < 60_000

    await queue.add("now", {})
    await queue.add("soon", {}, priority=3)
    await queue.add("later", {}, delay=3600)
    await queue.add_flow(FlowJob("report", {}, children=[FlowJob("part", {})]))
    assert (await read_left(queue)).jobs == 5

    # A run that somebody deleted leaves no place for a job that nobody saw.
    await queue.remove(f"u-{epoch_ms(soon)}")
    assert (await read_left(queue)).jobs == 5
    await operator.do(add(later), key=DIGEST)
    assert (await read_left(queue)).jobs == 5


async def test_a_run_is_not_added_to_a_queue_that_has_been_left(operator: Operator, queue: Queue) -> None:
    followed = operator.pollers.followed(EMAILS)
    assert followed is not None
    await operator.do(Follow(followed[0], replace(jobqueue().target, queue="letters")))
    with pytest.raises(NotFollowed):
        await operator.do(add(datetime(2096, 3, 1, tzinfo=UTC)), key=DIGEST)
    assert (await queue.metrics()).delayed == 0
