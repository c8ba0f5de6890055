"""Does each worker that is alive still work? A total says nothing of one that is silent while others do its share.

When the fault has passed, jobs come that do not end until they are let go: one for each slot that there is, and as
many again. They can all be under way only if each living worker fills every slot it has, so that a worker that is
silent, and one that has lost a slot, is found whatever the others do. Let go, the slots are filled once more.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter

from tests.chaos.ledger import Ledger
from tests.chaos.scene import Scene

#: Seconds within which a free slot must be filled. A worker promises one; a token that a dead connection took costs it
#: a blocked read (5), an overdue answer (10) and a pause (5) more, and the machine may be busy.
FILL_SECONDS = 30.0


async def fill_all_slots(scene: Scene) -> tuple[float, list[str]]:
    """Seconds until all slots were filled, at worst, and what is wrong with which worker."""
    workers = scene.fleet.alive()
    if not workers:
        return 0.0, ["no worker was left alive"]
    # a replacement may still be on its way
    for worker in workers:
        await worker.wait_ready()
    slots, gate = scene.form.concurrency, scene.folder / "let-go"
    try:
        jobs = [("n", {"hold": str(gate), "seconds": 0}, {"attempts": 1})] * (2 * len(workers) * slots)
        added = time.monotonic()
        ids = {job.id for job in await scene.queue.add_bulk(jobs)}
        began = await _begun(scene, ids, len(workers) * slots, added + FILL_SECONDS)
    finally:
        gate.touch()
    filled = Counter(pid for pid, _ in began)
    problems = [
        f"worker {worker.pid} filled {filled[worker.pid]} of its {slots} slots within {FILL_SECONDS:g} s of a backlog"
        for worker in workers
        if filled[worker.pid] < slots
    ]
    worst = max((at for _, at in began), default=added + FILL_SECONDS) - added
    let_go = time.monotonic()
    again = await _begun(scene, ids, len(ids), let_go + FILL_SECONDS)
    if len(again) < len(ids):
        problems.append(f"{len(ids) - len(again)} jobs of the backlog were not begun when slots were free again")
    return round(max(worst, max((at for _, at in again), default=let_go) - let_go), 2), problems


async def _begun(scene: Scene, ids: set[str], count: int, deadline: float) -> list[tuple[int, float]]:
    """Worker and moment of each of these jobs' runs, once so many have begun, or at the deadline."""
    while True:
        ledger = Ledger.read(scene.fleet.ledger)
        began = [(run.pid, run.began) for job_id in ids for run in ledger.runs.get(job_id, ())[:1]]
        if len(began) >= count or time.monotonic() > deadline:
            return began
        await asyncio.sleep(0.05)
