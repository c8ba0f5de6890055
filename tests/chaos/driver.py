"""Runs one fault on a stage of its own and says what it did: lost, handled twice, time to recover, workers silenced."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crewline import Queue
from crewline.redis.connection import UNAVAILABLE
from crewline.wire.text import text

from tests.chaos.faults import Fault
from tests.chaos.ledger import Ledger
from tests.chaos.probe import Witness, fill_all_slots
from tests.chaos.scene import Form, Scene, stage

#: Seconds beyond the work itself and the leases after which what has not ended counts as lost.
PATIENCE_SECONDS = 60.0
#: How often a recovery may have to wait for the machine, whose worst wait is measured meanwhile: looks, fetches,
#: starts of processes and the jobs' own ends, one after the other.
RECOVERY_TURNS = 40


@dataclass
class Row:
    """What one fault did.

    Attributes:
        fault: its name.
        jobs, strikes: how many there were.
        lost: jobs that did not complete, or completed without their effect.
        twice: jobs whose handler ran to its end more than once.
        begun_again: jobs whose handler was begun more than once.
        fenced: results and runs that were refused because the lease was another's.
        attempts_used: attempts beyond one a job; faults must use up none.
        recover_seconds: from a strike till all that was active then had ended; the worst.
        fill_seconds: how long a living worker left a slot free afterwards while jobs waited; the worst.
        work_seconds: from the first job's adding till the last one's end.
        longer: work_seconds as a multiple of what the same work took undisturbed; None where that was not measured.
        seconds: the whole run.
        twice_because: what "twice" means here.
        problems: what must not be, in words; empty is good.
    """

    fault: str
    jobs: int
    strikes: int = 0
    lost: int = 0
    twice: int = 0
    begun_again: int = 0
    fenced: int = 0
    attempts_used: int = 0
    recover_seconds: float = 0.0
    fill_seconds: float | None = None
    work_seconds: float = 0.0
    longer: float | None = None
    seconds: float = 0.0
    twice_because: str = ""
    problems: list[str] = field(default_factory=list)


async def run(fault: Fault, form: Form, seed: int, folder: Path) -> Row:
    """Plays one fault through. Never raises for what the fault did: the row says it."""
    began = time.monotonic()
    form = fault.form(form)
    row = Row(fault.name, form.jobs, twice_because=fault.twice_because)
    try:
        if fault.ends_workers and form.compared:
            calm = Row(fault.name, form.jobs)
            await _play(fault, form, seed, folder / "undisturbed", calm, fault.spare)
            row.problems += [f"undisturbed: {problem}" for problem in calm.problems]
        await _play(fault, form, seed, folder, row, fault.inject)
        if fault.ends_workers and form.compared and calm.work_seconds:
            row.longer = round(row.work_seconds / calm.work_seconds, 2)
        if not row.strikes:
            row.problems.append("the fault never struck: the work was over before")
    except (AssertionError, *UNAVAILABLE):
        row.problems.append(f"the driver was stopped: {traceback.format_exc()}")
    row.seconds = round(time.monotonic() - began, 1)
    return row


async def _play(
    fault: Fault, form: Form, seed: int, folder: Path, row: Row, inject: Callable[[Scene], Awaitable[None]]
) -> None:
    async with stage(
        form, seed, folder, redis_options=fault.redis_options, proxied=fault.proxied,
        grace_seconds=fault.grace_seconds, environments=fault.environments(),
    ) as scene:  # fmt: skip
        jobs = fault.jobs(form, scene)
        added_at = time.monotonic()
        added = await scene.queue.add_bulk(
            ("n", data, {"backoff": 0, "remove_on_complete": False, **options}) for data, options in jobs
        )
        with Witness() as witness:
            await scene.work_begins()
            injecting = asyncio.ensure_future(inject(scene))
            await _settled(scene, injecting)
        row.fill_seconds, silent = await fill_all_slots(scene, fault.fills_later_by(form))
        row.problems += silent
        ids = [job.id for job in added]
        await _examine(scene, fault, row, ids, witness.worst)
        early = _early(Ledger.read(scene.fleet.ledger), ids, jobs, added_at)
        if early:
            row.problems.append(f"{len(early)} jobs began before they were due: {early[:5]}")


async def _settled(scene: Scene, injecting: asyncio.Future[None]) -> None:
    form = scene.form
    deadline = time.monotonic() + form.span_seconds * 2 + form.lease_seconds * 6 + PATIENCE_SECONDS
    deadline += form.stop_seconds * form.rounds
    try:
        while time.monotonic() < deadline:
            if injecting.done() and await scene.drained():
                break
            await asyncio.sleep(0.05)
        assert injecting.done(), "the fault could not be injected as often as it should"
        await injecting
    finally:
        injecting.cancel()
        await asyncio.gather(injecting, return_exceptions=True)


async def _examine(scene: Scene, fault: Fault, row: Row, ids: list[str], waited_seconds: float) -> None:
    queue = scene.queue
    # a stopped worker may still be about to write: give what is late the time to be refused
    await asyncio.sleep(0.3)
    ledger = Ledger.read(scene.fleet.ledger)
    finished = {
        text(job_id): score for job_id, score in await queue.redis.zrange(queue.keys.completed, 0, -1, withscores=True)
    }
    failed = {text(job_id) for job_id in await queue.redis.zrange(queue.keys.failed, 0, -1)}
    added_ms = min([int(at) for (at,) in await _fields(queue, ids, "timestamp") if at], default=0)
    row.work_seconds = round((max((finished[i] for i in ids if i in finished), default=added_ms) - added_ms) / 1000, 2)
    ends = ledger.ends()
    doomed = fault.doomed(ids)
    lost = [job_id for job_id in ids if job_id not in doomed and (job_id not in finished or not ends[job_id])]
    row.lost, row.strikes = len(lost), len(scene.incidents)
    if lost:
        where = Counter([await queue.job_state(job_id) for job_id in lost[:1000]])
        row.problems.append(f"{len(lost)} jobs lost, of {dict(where)}: {lost[:5]}")
    if missing := doomed - failed:
        row.problems.append(f"jobs that had to end in the dead letters did not: {sorted(missing)}")

    twice = ledger.twice()
    row.twice, row.begun_again = len(twice), len(ledger.begun_again())
    if unexpected := set(twice) - fault.may_be_handled_twice(scene, ledger):
        runs = {job_id: ledger.runs[job_id] for job_id in sorted(unexpected)[:3]}
        row.problems.append(f"{len(unexpected)} jobs handled twice without a reason: {runs}")

    await _check_hashes(scene, row, [job_id for job_id in ids if job_id in finished])
    row.problems += await fault.verify(scene, ledger, ids)
    row.fenced = _fenced(scene)
    ended = [(mark.now_ms, max((finished[i] for i in mark.active if i in finished), default=0)) for mark in scene.marks]
    row.recover_seconds = round(max((last - at for at, last in ended), default=0) / 1000, 2)
    allowed = fault.recovers_within(scene.form) + RECOVERY_TURNS * waited_seconds
    if row.recover_seconds > allowed:
        row.problems.append(
            f"recovering took {row.recover_seconds} s, and may take {allowed:.1f} s: the machine kept a process "
            f"waiting for {waited_seconds:.3f} s at worst"
        )
    row.problems += [f"a worker's log has a traceback: {trace}" for trace in scene.fleet.complaints()]


async def _check_hashes(scene: Scene, row: Row, ids: list[str]) -> None:
    """Each result was accepted once, is the one that the event told, and used up one attempt."""
    queue = scene.queue
    events: dict[str, list[str]] = {}
    for _, entry in await queue.redis.xrange(queue.keys.events):
        if entry.get(b"event") == b"completed":
            events.setdefault(text(entry[b"jobId"]), []).append(text(entry[b"returnvalue"]))
    for job_id, (value, attempts) in zip(ids, await _fields(queue, ids, "returnvalue", "atm"), strict=True):
        told = events.get(job_id, [])
        if len(told) != 1 or json.loads(told[0]) != json.loads(value):
            row.problems.append(f"job {job_id}: results {told} were accepted, and {value!r} is stored")
        row.attempts_used += int(attempts) - 1
    if row.attempts_used:
        row.problems.append(f"{row.attempts_used} attempts were used up by the fault")


async def _fields(queue: Queue, ids: list[str], *names: str) -> list[Any]:
    """These fields of each job."""
    stored: list[Any] = []
    for start in range(0, len(ids), 1000):
        async with queue.redis.pipeline(transaction=False) as pipe:
            for job_id in ids[start : start + 1000]:
                pipe.hmget(queue.keys.job(job_id), *names)
            stored += await pipe.execute()
    return stored


def _fenced(scene: Scene) -> int:
    marks = ("was refused", "the lease is lost", "lost its lease is dropped")
    return sum(any(mark in line for mark in marks) for log in scene.fleet.logs() for line in log.splitlines())


def _early(ledger: Ledger, ids: list[str], jobs: list[tuple[dict[str, Any], dict[str, Any]]], at: float) -> list[str]:
    """Delayed jobs that began before their time."""
    return [
        job_id
        for job_id, (_, options) in zip(ids, jobs, strict=True)
        if options.get("delay") and any(run.began < at + options["delay"] for run in ledger.runs.get(job_id, ()))
    ]
