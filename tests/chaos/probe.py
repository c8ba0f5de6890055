"""Does each worker that is alive still work? A total says nothing of one that is silent while others do its share.

When the fault has passed, jobs come that do not end until they are let go: one for each slot that there is, and as
many again. They can all be under way only if each living worker fills every slot it has, so that a worker that is
silent, and one that has lost a slot, is found whatever the others do. Let go, the slots are filled once more.

When a slot was filled is told by Redis: from the event of a job's adding to that of its fetch, so that what the driver
and the handlers take for their own part counts for nothing. What the machine takes does: the same two cores may have
other work, and a process that is not run fetches nothing. How long that is, at worst, a witness measures meanwhile, and
a worker is given `TURNS` times as much.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self

from crewline.wire.text import text

from tests.chaos.ledger import Ledger
from tests.chaos.scene import Scene

#: Seconds for which a worker may leave a slot free while jobs wait.
PROMISED_SECONDS = 1.0
#: How often the way from a job's adding to its fetch may have to wait for the machine: the driver that adds, Redis, the
#: worker that is told, Redis again; and each once more where a first call filled a part of the slots.
TURNS = 8
#: Seconds after which a slot counts as never filled: who is late is told from who is silent by that.
GIVE_UP_SECONDS = 30.0


class Witness:
    """Measures how long the machine keeps one waiting who is ready to run: `worst`, in seconds."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="witness", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        step = 0.005
        while not self._over.is_set():
            began = time.monotonic()
            time.sleep(step)
            self.worst = max(self.worst, time.monotonic() - began - step)


async def fill_all_slots(scene: Scene, more_seconds: float = 0.0) -> tuple[float, list[str]]:
    """Seconds until all slots were filled, at worst, and what is wrong with which worker.

    Args:
        more_seconds: how much longer than it promises a worker may take after this fault.
    """
    workers = scene.fleet.alive()
    if not workers:
        return 0.0, ["no worker was left alive"]
    # a replacement may still be on its way
    for worker in workers:
        await worker.wait_ready()
    slots, gate, queue = scene.form.concurrency, scene.folder / "let-go", scene.queue
    after = await queue.last_event_id()
    with Witness() as witness:
        try:
            jobs = [("n", {"hold": str(gate), "seconds": 0}, {"attempts": 1})] * (2 * len(workers) * slots)
            ids = {job.id for job in await queue.add_bulk(jobs)}
            began = await _begun(scene, ids, len(workers) * slots)
            let_go_ms = await queue.scripts.read_clock()
        finally:
            gate.touch()
        again = await _begun(scene, ids, len(ids))
    filled = Counter(began.values())
    problems = [
        f"worker {worker.pid} filled {filled[worker.pid]} of its {slots} slots in {GIVE_UP_SECONDS:g} s of a backlog"
        for worker in workers
        if filled[worker.pid] < slots
    ]
    if len(again) < len(ids):
        problems.append(f"{len(ids) - len(again)} jobs of the backlog were not begun when slots were free again")
    worst = await _worst(scene, after, ids, let_go_ms)
    allowed = PROMISED_SECONDS + more_seconds + TURNS * witness.worst
    if worst > allowed and not problems:
        problems.append(
            f"a slot was free for {worst:.2f} s while jobs waited, and may be for {allowed:.2f} s: the machine kept a "
            f"process waiting for {witness.worst:.3f} s at worst"
        )
    return round(worst, 2), problems


async def _begun(scene: Scene, ids: set[str], count: int) -> dict[str, int]:
    """Who runs these jobs, by their ids, once so many have begun, or when it is time to give up."""
    deadline = time.monotonic() + GIVE_UP_SECONDS
    while True:
        ledger = Ledger.read(scene.fleet.ledger)
        began = {job_id: run.pid for job_id in ids for run in ledger.runs.get(job_id, ())[:1]}
        if len(began) >= count or time.monotonic() > deadline:
            return began
        await asyncio.sleep(0.05)


async def _worst(scene: Scene, after: str, ids: set[str], let_go_ms: int) -> float:
    """Seconds from a job's adding to its fetch, of those that were fetched until the others were let go; and of the
    others from then."""
    queue, since, worst = scene.queue, 0, 0
    for entry_id, entry in await queue.redis.xrange(queue.keys.events, min=f"({after}"):
        at = int(text(entry_id).partition("-")[0])
        if text(entry.get(b"jobId", b"")) not in ids:
            continue
        if entry[b"event"] == b"added":
            since = at
        elif entry[b"event"] == b"active":
            worst = max(worst, at - (since if at < let_go_ms else let_go_ms))
    return worst / 1000
