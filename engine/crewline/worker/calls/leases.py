"""Keeps a worker's leases alive, from a thread with a connection of its own.

A handler that blocks the event loop, or holds the interpreter in C for a while, must not lose its job for it.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import Any

from crewline.beside import start_thread
from crewline.redis.connection import COMMAND_TIMEOUT_SECONDS, UNAVAILABLE, connect_sync
from crewline.redis.scripts import source
from crewline.wire.keys import Keys
from crewline.wire.text import text
from crewline.worker.runs.run import Lease

log = logging.getLogger("crewline.worker")

#: Leases that one call prolongs at most.
BATCH = 250


class LeaseKeeper:
    """Prolongs all leases three times in their length.

    Args:
        url, keys: where the queue is.
        leases: by job id; copied at each turn.
        lease_ms: the length of a lease, in milliseconds.
        on_lost: called in the keeper's thread with id and token of each lease that is gone.
        gives_up: asked at each turn whether what runs has had its time, and is kept no longer.
        look_seconds: between two of these questions at most.
    """

    def __init__(
        self,
        url: str,
        keys: Keys,
        leases: dict[str, Lease],
        lease_ms: int,
        on_lost: Callable[[list[tuple[str, str]]], None],
        gives_up: Callable[[], bool] = lambda: False,
        look_seconds: float = math.inf,
    ) -> None:
        self._url = url
        self._keys = keys
        self._leases = leases
        self._lease_ms = lease_ms
        self._on_lost = on_lost
        self._gives_up = gives_up
        self._look_seconds = look_seconds
        self._stop = threading.Event()

    def start(self) -> None:
        start_thread(self._run, name="crewline-leases")

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        opened: tuple[Any, Callable[..., Any]] | None = None
        failing, due = "", time.monotonic() + self._lease_ms / 3000
        while not self._stop.wait(min(max(due - time.monotonic(), 0), self._look_seconds)):
            try:
                if self._gives_up():
                    # as soon as that is over
                    due = time.monotonic() + self._look_seconds
                if time.monotonic() < due:
                    continue
                # a cluster's client connects when it is made
                opened = opened or self._open()
                self._prolong(opened[1])
            except Exception as error:
                # whatever it is: a thread that ends in silence would lose every job of this worker
                if failing != (failing := type(error).__name__):
                    log.error(
                        "leases could not be prolonged (%s: %s): trying again", failing, error,
                        exc_info=not isinstance(error, UNAVAILABLE),
                    )  # fmt: skip
                due = time.monotonic() + min(1.0, self._lease_ms / 10000)
            else:
                failing, due = "", time.monotonic() + self._lease_ms / 3000
        if opened is not None:
            opened[0].close()

    def _open(self) -> tuple[Any, Callable[..., Any]]:
        """A connection, and the script on it."""
        # a link that died without a reset must be given up while the leases still hold
        redis = connect_sync(self._url, min(self._lease_ms / 3000, COMMAND_TIMEOUT_SECONDS))
        return redis, redis.register_script(source("extend_leases"))

    def _prolong(self, extend: Callable[..., Any]) -> None:
        held = list(self._leases.items())
        for start in range(0, len(held), BATCH):
            part = held[start : start + BATCH]
            arguments = [argument for job_id, lease in part for argument in (job_id, *lease)]
            lost = extend(keys=self._keys.declared(), args=[self._keys.base, self._lease_ms, *arguments])
            if lost:
                gone = {text(job_id) for job_id in lost}
                self._on_lost([(job_id, lease.token) for job_id, lease in part if job_id in gone])
