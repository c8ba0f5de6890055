"""What a fault is: how it is made to happen, and which jobs it may make run to their end twice.

Nothing here says how often something may go wrong: a fault names the very jobs that may be handled twice, by what the
ledger shows, and why. All others must be handled once, and none may be lost.
"""

from __future__ import annotations

from typing import Any

from tests.chaos.ledger import Ledger
from tests.chaos.scene import Form, Incident, Scene

#: Seconds in which a result that a handler returned is on its way to Redis, on a busy machine.
ON_ITS_WAY_SECONDS = 1.0


class Fault:
    """One way in which things go wrong."""

    name = "none"
    #: what "handled twice" means under this fault, and why it can't be less
    twice_because = "nothing is handled twice"
    redis_options: tuple[str, ...] = ()
    proxied = False
    grace_seconds = 30.0
    #: it ends workers that others replace: how much longer does the work take for that?
    ends_workers = False

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

    async def spare(self, scene: Scene) -> None:
        """Instead of `inject`: the same work goes undisturbed."""

    def may_be_handled_twice(self, scene: Scene, ledger: Ledger) -> set[str]:
        """The ids of the jobs that this fault may make run to their end twice."""
        return set()

    def recovers_within(self, form: Form) -> float:
        """Seconds from a strike till all that was active then must have ended."""
        # a lease ends, two checks look, what was beside a dead worker runs alone; and the machine may be busy
        return form.lease_seconds * 4 + form.job_seconds * form.concurrency * 2 + 20

    def fills_later_by(self, form: Form) -> float:
        """Seconds that a worker may leave a slot free, once the fault has passed, beyond those that it promises."""
        return 0.0

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
