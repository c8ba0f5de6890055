"""Handlers that hold something up for longer than a lease."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.chaos.faults.base import Fault, overlapping
from tests.chaos.ledger import Ledger
from tests.chaos.scene import Form, Incident, Scene


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
        "no thread of that process runs, so none of its leases is renewed: once a check has put its jobs back, others "
        "run them too, and its results are refused"
    )
    key = "gil_seconds"

    def may_be_handled_twice(self, scene: Scene, ledger: Ledger) -> set[str]:
        return {job_id for incident in scene.incidents for job_id in overlapping(ledger, incident)}
