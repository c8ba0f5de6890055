"""The worker's heartbeat: it says what this worker does, and hears which jobs it is to cancel, whether it is to drain,
and its settings.

Dashboards, ``crewline top`` and the operator read it; a worker that stopped beating is gone from it by itself.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Iterable
from typing import Any

from crewline.queue.by_id import ById
from crewline.redis.connection import UNAVAILABLE
from crewline.upkeep.complaints import Complaints
from crewline.wire import jsonio
from crewline.wire.registry import REGISTRY_KEY, TTL_MS, entry_key
from crewline.worker.registry.began import process_began
from crewline.worker.registry.live import LiveSettings
from crewline.worker.runs.slots import Slots

log = logging.getLogger("crewline.worker")

#: Seconds between two beats: the longest that a cancellation, a request to drain or a setting takes to arrive.
BEAT_SECONDS = 1.0
#: The same while the worker drains: somebody waits for its last job's end, or for it to fetch again.
DRAINING_SECONDS = 0.2
#: What fails where Redis refuses a beat.
BEATING = "tell of this worker, and hear of cancellations, drains and settings"
#: Running jobs that a beat names: so many, and so many characters of their ids, which another client chooses.
MAX_NAMED, MAX_NAMED_CHARS = 50, 16_384


class Presence:
    """Beats for one worker.

    Args:
        queue: its queue.
        slots: its slots.
        name: its name. The registry's entry has a part of its own behind it: pods may share a name, and each
            process in a container has the id 1.
        worker_id: by which it is asked to drain; the entry's name if ''.
        leases: what the tokens of all its leases begin with.
        settings: those of the queue that the worker follows.
        cancel: called with a job's id, a lease's token and the reason, for runs that are to be cancelled.

    Attributes:
        begun: set once the first beat was answered, or could not be.
    """

    def __init__(
        self,
        queue: ById,
        slots: Slots,
        name: str,
        worker_id: str,
        leases: str,
        settings: LiveSettings,
        cancel: Any,
    ) -> None:
        self._queue = queue
        self._slots = slots
        self._name = f"{name}.{os.getpid()}.{secrets.token_hex(3)}"
        self._id = worker_id or self._name
        self._leases = leases
        self._began = process_began()
        #: The request to drain that is followed, '' for none.
        self._drain = ""
        self._settings = settings
        self._cancel = cancel
        self._complaints = Complaints(queue.name)
        self.begun = asyncio.Event()

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            try:
                if await self._beat():
                    await self._beat()  # the registry says at once what is followed
                self._complaints.over(BEATING)
            except UNAVAILABLE as error:
                self._complaints.tell(BEATING, error)
            self.begun.set()
            await asyncio.sleep(DRAINING_SECONDS if self._drain else BEAT_SECONDS)

    async def leave(self) -> None:
        """Takes this worker out of the registry."""
        keys = self._queue.keys
        try:
            await self._queue.redis.zrem(keys.extra(REGISTRY_KEY), self._name)
            await self._queue.redis.delete(keys.extra(entry_key(self._name)))
        except UNAVAILABLE:
            pass  # it is gone by itself in a moment

    async def _beat(self) -> bool:
        """Returns whether the settings or the request to drain are other ones than before."""
        slots = self._slots
        mine = slots.mine()
        running = [run.job.id for run in mine if run in slots.runs]
        told = {
            "name": self._name, "id": self._id, "leases": self._leases, "host": socket.gethostname(),
            "pid": os.getpid(), "began": self._began, "slots": slots.concurrency, "running": _named(running),
            "busy": len(slots.runs), "drain": self._drain, "held": slots.held(), "stopping": slots.is_shut("stopping"),
            "paused": slots.is_shut("paused") or slots.is_shut("settings"), "settings": self._settings.generation,
            "refused": self._settings.refused,
        }  # fmt: skip
        heard = await self._queue.scripts.beat(
            self._name, self._id, TTL_MS, jsonio.dumps(told, "the worker's state"), self._settings.sha,
            [(run.job.id, run.lease.token) for run in mine if run.open],
        )  # fmt: skip
        for job_id, token, reason in heard.cancels:
            self._cancel(job_id, token, reason)
        changed = heard.settings is not None or heard.drain != self._drain
        self._follow(heard.drain)
        if heard.settings is not None:
            self._settings.receive(heard.settings)
        return changed

    def _follow(self, drain: str) -> None:
        """Fetches nothing while there is a request to drain, whichever it is."""
        if bool(drain) != bool(self._drain):
            if drain:
                log.info("this worker is asked to drain: it fetches nothing more")
                self._slots.shut("draining")
            else:
                log.info("this worker drains no more: it fetches again")
                self._slots.admit("draining")
        self._drain = drain


def _named(ids: Iterable[str]) -> list[str]:
    """Those that there is room for; one that has none takes none from others."""
    named: list[str] = []
    left = MAX_NAMED_CHARS
    for job_id in ids:
        if len(named) < MAX_NAMED and len(job_id) <= left:
            named.append(job_id)
            left -= len(job_id)
    return named
