"""The faults, one class each: how it is made to happen, and which jobs it may make run to their end twice.

Nothing here says how often something may go wrong: a fault names the very jobs that may be handled twice, by what the
ledger shows, and why. All others must be handled once, and none may be lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from dataclasses import replace
from functools import partial
from typing import Any

from crewline import DeadLetters

from tests.chaos.fleet import WorkerProcess
from tests.chaos.ledger import Ledger
from tests.chaos.scene import Form, Incident, Scene
from tests.chaos.waiting import until

#: Seconds in which a result that a handler returned is on its way to Redis, on a busy machine.
ON_ITS_WAY_SECONDS = 1.0

#: What Redis is started with so that its data outlive it.
AOF = ("--appendonly", "yes", "--auto-aof-rewrite-percentage", "0", "--appendfsync")


class Fault:
    """One way in which things go wrong."""

    name = "none"
    #: what "handled twice" means under this fault, and why it can't be less
    twice_because = "nothing is handled twice"
    redis_options: tuple[str, ...] = ()
    proxied = False
    grace_seconds = 30.0

    def form(self, form: Form) -> Form:
        """The form, as this fault needs it."""
        return form

    def environments(self) -> list[dict[str, str]] | None:
        """More environment variables for the workers, in turn."""
        return None

    def jobs(self, form: Form, scene: Scene) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Data and options of each job."""
        mean = form.job_seconds
        return [({"seconds": round(mean * scene.rng.uniform(0.5, 1.5), 4)}, {}) for _ in range(form.jobs)]

    async def inject(self, scene: Scene) -> None:
        """Strikes as often as the form says."""
        for _ in range(scene.form.rounds):
            await scene.pause_between()
            await self.strike(scene)

    async def strike(self, scene: Scene) -> None:
        raise NotImplementedError

    def may_be_handled_twice(self, scene: Scene, ledger: Ledger) -> set[str]:
        """The ids of the jobs that this fault may make run to their end twice."""
        return set()

    def recovers_within(self, form: Form) -> float:
        """Seconds from a strike till all that was active then must have ended."""
        # a lease ends, two checks look, what was beside a dead worker runs alone; and the machine may be busy
        return form.lease_seconds * 4 + form.job_seconds * form.concurrency * 2 + 20

    def doomed(self, ids: list[str]) -> set[str]:
        """The ids of the jobs that must end in the dead letters."""
        return set()

    async def verify(self, scene: Scene, ledger: Ledger, ids: list[str]) -> list[str]:
        """What else must hold in the end, as problems in words."""
        return []


def unsettled(ledger: Ledger, incident: Incident) -> set[str]:
    """Jobs that the struck worker had run to their end, and perhaps not told Redis, when it was struck."""
    return {
        job_id
        for job_id, runs in ledger.runs.items()
        for run in runs
        if run.pid == incident.pid and run.ended is not None
        and incident.at - ON_ITS_WAY_SECONDS <= run.ended <= incident.until
    }  # fmt: skip


def overlapping(ledger: Ledger, incident: Incident) -> set[str]:
    """Jobs that the struck worker (any, if the incident names none) ran while the incident lasted."""
    return {
        job_id
        for job_id, runs in ledger.runs.items()
        for run in runs
        if incident.pid in (0, run.pid)
        and run.began <= incident.until
        and (run.ended is None or run.ended >= incident.at - ON_ITS_WAY_SECONDS)
    }


class Kill(Fault):
    name = "worker killed (SIGKILL)"
    twice_because = "the handler had ended and the worker died before Redis had the result"

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


class RedisKilled(Fault):
    name = "Redis killed, AOF always"
    twice_because = "never, while the outage is shorter than what is left of the leases"
    redis_options = (*AOF, "always")

    async def strike(self, scene: Scene) -> None:
        await scene.mark()
        await scene.kill_redis()

    def may_be_handled_twice(self, scene: Scene, ledger: Ledger) -> set[str]:
        # a third of the lease may have passed since it was renewed, and a retry of the renewal takes its time
        allowed = scene.form.lease_seconds / 2
        long = [incident for incident in scene.incidents if incident.until - incident.at > allowed]
        return {job_id for incident in long for job_id in overlapping(ledger, incident)}


class PowerLost(Fault):
    name = "Redis without power, AOF everysec"
    twice_because = "Redis forgot that the job was taken, or had ended: all of its last second"
    redis_options = (*AOF, "everysec")

    async def inject(self, scene: Scene) -> None:
        # what was added in the last second would be lost: no queue can know of it
        await asyncio.sleep(1.2)
        await super().inject(scene)

    async def strike(self, scene: Scene) -> None:
        await scene.mark()
        await scene.kill_redis(power_loss_seconds=1.0)

    def may_be_handled_twice(self, scene: Scene, ledger: Ledger) -> set[str]:
        return {job_id for incident in scene.incidents for job_id in overlapping(ledger, incident)}


class _Link(Fault):
    proxied = True
    calls = 6

    async def hit(self, scene: Scene, attribute: str) -> None:
        assert scene.proxy
        before = scene.proxy.hits
        setattr(scene.proxy, attribute, self.calls)
        at = time.monotonic()
        await until(partial(self._enough, scene, before + self.calls), "calls to hit", scene.form.span_seconds + 60)
        setattr(scene.proxy, attribute, 0)
        if scene.proxy.hits > before:
            scene.struck(at=at)
            await scene.mark()

    @staticmethod
    async def _enough(scene: Scene, hits: int) -> bool:
        assert scene.proxy
        return scene.proxy.hits >= hits or await scene.drained()


class RequestCut(_Link):
    name = "link cut within a request"
    twice_because = "never: Redis does not carry out half a call"

    async def strike(self, scene: Scene) -> None:
        await self.hit(scene, "cut_requests")


class ReplyCut(_Link):
    name = "link cut before the reply"
    twice_because = "never: the repeated call is refused by the lease token"

    async def strike(self, scene: Scene) -> None:
        await self.hit(scene, "cut_replies")

    def recovers_within(self, form: Form) -> float:
        # the repeated call brings what the lost one fetched: nothing waits for a lease to end
        return form.lease_seconds * 1.5


class Reset(_Link):
    name = "all links reset"
    twice_because = "never: as a cut reply"

    async def strike(self, scene: Scene) -> None:
        assert scene.proxy
        if scene.proxy.reset_all():
            scene.struck()
            await scene.mark()


class Latency(_Link):
    name = "latency spikes (0.25 s each way)"
    twice_because = "never: renewals come in time"

    async def strike(self, scene: Scene) -> None:
        assert scene.proxy
        scene.proxy.latency_seconds = 0.25
        at = time.monotonic()
        await asyncio.sleep(1.5)
        scene.proxy.latency_seconds = 0.0
        scene.struck(at=at)
        await scene.mark()


class BlackHole(_Link):
    name = "links dead without a reset"
    twice_because = "never: the renewal gives a silent link up within a third of the lease"

    async def strike(self, scene: Scene) -> None:
        assert scene.proxy
        if scene.proxy.black_hole():
            scene.struck()
            await scene.mark()


class _Hog(Fault):
    """Handlers that hold something up for longer than a lease."""

    key = ""

    def jobs(self, form: Form, scene: Scene) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        jobs = super().jobs(form, scene)
        for place in self.places(form):
            jobs[place][0][self.key] = form.lease_seconds * 2.5
        return jobs

    def places(self, form: Form) -> list[int]:
        return [form.jobs * (n + 1) // (form.rounds + 2) for n in range(form.rounds)]

    async def inject(self, scene: Scene) -> None:
        for place in self.places(scene.form):
            job_id = str(place + 1)
            while not any(run.ended is None for run in self._runs(scene, job_id)):
                if await scene.drained():
                    return
                await asyncio.sleep(scene.form.lease_seconds / 20)
            (first, *_) = self._runs(scene, job_id)
            scene.incidents.append(Incident(first.began, first.pid, first.began + scene.form.lease_seconds * 3.5))
            await scene.mark()

    def _runs(self, scene: Scene, job_id: str) -> list[Any]:
        return Ledger.read(scene.fleet.ledger).runs.get(job_id, [])


class LoopBlocked(_Hog):
    name = "handler blocks the event loop past its lease"
    twice_because = "never: a thread renews the leases"
    key = "block_seconds"


class InterpreterHeld(_Hog):
    name = "handler holds the GIL in C past its lease"
    twice_because = (
        "no thread of that process runs, so none of its leases is renewed: others run its jobs too, "
        "and its results are refused"
    )
    key = "gil_seconds"

    def may_be_handled_twice(self, scene: Scene, ledger: Ledger) -> set[str]:
        return {job_id for incident in scene.incidents for job_id in overlapping(ledger, incident)}


class ClocksSkewed(Fault):
    name = "workers' clocks an hour off, both ways"
    twice_because = "never: time is Redis'"

    def environments(self) -> list[dict[str, str]] | None:
        from tests.chaos.clocks import skewed

        return [skewed("+1h"), skewed("-1h")]

    def jobs(self, form: Form, scene: Scene) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        return [
            (data, {"delay": 1.0} if index % 4 == 0 else {})
            for index, (data, _) in enumerate(super().jobs(form, scene))
        ]

    async def inject(self, scene: Scene) -> None:
        # the clocks are wrong all the time; a worker dies on top, since its leases are what a clock could spoil
        scene.struck()
        await scene.pause_between()
        with contextlib.suppress(IndexError):
            victim = scene.victim()
            victim.send(signal.SIGKILL)
            await victim.wait()
            scene.struck(victim)
        await scene.mark()

    def may_be_handled_twice(self, scene: Scene, ledger: Ledger) -> set[str]:
        return {job_id for incident in scene.incidents if incident.pid for job_id in unsettled(ledger, incident)}


class Poison(Kill):
    name = "poison job kills every worker it meets"
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
        elif "took its worker down" not in letters[0].reason:
            problems.append(f"the dead letter's reason does not tell the cause: {letters[0].reason!r}")
        if len(ledger.runs[poison]) > self.most_runs:
            problems.append(f"the poison job ran {len(ledger.runs[poison])} times")
        return problems


FAULTS: dict[str, Fault] = {
    "sigkill": Kill(),
    "sigterm": Drain(),
    "sigterm-no-grace": HandBack(),
    "sigstop": Stop(),
    "redis-always": RedisKilled(),
    "redis-everysec": PowerLost(),
    "cut-request": RequestCut(),
    "cut-reply": ReplyCut(),
    "reset": Reset(),
    "latency": Latency(),
    "black-hole": BlackHole(),
    "loop-blocked": LoopBlocked(),
    "gil-held": InterpreterHeld(),
    "clock-skew": ClocksSkewed(),
    "poison": Poison(),
}
