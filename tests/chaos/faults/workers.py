"""Workers that die, are told to end, or stand still."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import replace
from typing import Any

from crewline import DeadLetters

from tests.chaos.faults.base import Fault, overlapping, unsettled
from tests.chaos.fleet import WorkerProcess
from tests.chaos.ledger import Ledger
from tests.chaos.scene import Form, Scene
from tests.chaos.waiting import until


class Kill(Fault):
    name = "worker killed (SIGKILL)"
    twice_because = "the handler had ended and the worker died before Redis had the result"
    ends_workers = True

    async def inject(self, scene: Scene) -> None:
        supervisor = asyncio.create_task(scene.supervise())
        try:
            await super().inject(scene)
            # replacements must have been made before the supervisor goes
            await until(lambda: len(scene.fleet.alive()) >= scene.form.workers, "replacements for killed workers")
        finally:
            supervisor.cancel()

    async def strike(self, scene: Scene) -> None:
        victim = scene.victim()
        victim.send(signal.SIGKILL)
        await victim.wait()
        scene.struck(victim)
        await scene.mark()

    def may_be_handled_twice(self, scene: Scene, ledger: Ledger) -> set[str]:
        return {job_id for incident in scene.incidents for job_id in unsettled(ledger, incident)}


class Drain(Fault):
    name = "worker told to end (SIGTERM)"
    twice_because = "never: running jobs end within the grace period"
    ends_workers = True

    async def strike(self, scene: Scene) -> None:
        victim = scene.victim()
        victim.send(signal.SIGTERM)
        scene.struck(victim)
        await scene.mark()
        scene.fleet.spawn()
        status = await victim.wait(self.grace_seconds + 10)
        assert status == 0, f"a drained worker ended with {status}"


class HandBack(Drain):
    name = "worker told to end, no grace"
    twice_because = "never: a run is cancelled before its job is handed back"
    grace_seconds = 0.0


class Stop(Fault):
    name = "worker stopped past its lease (SIGSTOP)"
    twice_because = "a stopped worker's handler goes on with its job, which another has run; its result is refused"

    async def strike(self, scene: Scene) -> None:
        victim = scene.victim()
        victim.send(signal.SIGSTOP)
        at = time.monotonic()
        await scene.mark()
        try:
            await asyncio.sleep(scene.form.stop_seconds)
        finally:
            victim.send(signal.SIGCONT)
        # what was due while it stood still ends within moments, or is cancelled
        scene.struck(victim, at=at, until=time.monotonic() + scene.form.lease_seconds)

    def may_be_handled_twice(self, scene: Scene, ledger: Ledger) -> set[str]:
        return {job_id for incident in scene.incidents for job_id in overlapping(ledger, incident)}


class Poison(Kill):
    name = "poison job kills every worker it meets"
    #: a poison job that is let be kills all the same: there is nothing to compare with
    ends_workers = False
    #: runs before it is given up: one among others, then as often alone as the worker's max_crashes
    most_runs = 4

    def form(self, form: Form) -> Form:
        return replace(form, lease_seconds=form.lease_seconds / 2)

    def jobs(self, form: Form, scene: Scene) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        jobs = super().jobs(form, scene)
        jobs[len(jobs) // 3][0]["poison"] = True
        return jobs

    def doomed(self, ids: list[str]) -> set[str]:
        return {ids[len(ids) // 3]}

    async def inject(self, scene: Scene) -> None:
        supervisor = asyncio.create_task(scene.supervise())
        try:
            for _ in range(self.most_runs):
                seen = {incident.pid for incident in scene.incidents}
                dead = await self._death(scene, seen)
                if dead is None:
                    return
                scene.struck(dead)
                await scene.mark()
            await until(scene.drained, "the end of all others", scene.form.span_seconds * 3 + 60)
        finally:
            supervisor.cancel()

    async def _death(self, scene: Scene, seen: set[int]) -> WorkerProcess | None:
        found: list[WorkerProcess] = []

        async def died() -> bool:
            found.extend(worker for worker in scene.fleet.workers if not worker.alive and worker.pid not in seen)
            return bool(found) or await scene.drained()

        await until(
            died, "a worker killed by the poison job", scene.form.span_seconds + scene.form.lease_seconds * 6 + 60
        )
        return found[0] if found else None

    async def verify(self, scene: Scene, ledger: Ledger, ids: list[str]) -> list[str]:
        (poison,) = self.doomed(ids)
        letters = await DeadLetters(scene.queue).list()
        problems = []
        if [letter.job_id for letter in letters] != [poison]:
            problems.append(f"the dead letters should hold job {poison} alone: {letters}")
        elif "took its process down 3 times" not in letters[0].reason:
            problems.append(f"the dead letter's reason does not tell the cause: {letters[0].reason!r}")
        if len(ledger.runs[poison]) > self.most_runs:
            problems.append(f"the poison job ran {len(ledger.runs[poison])} times")
        return problems
