"""What may change while a worker runs: as the worker was made, unless its queue's settings say otherwise."""

from __future__ import annotations

import dataclasses

from crewline.queue.queue import Queue
from crewline.upkeep.maintainer import QueueMaintainer
from crewline.wire.checks import check_count
from crewline.wire.settings import Settings
from crewline.worker.calls.commit import Committer
from crewline.worker.loopwatch import LoopWatch
from crewline.worker.runs.calling import Calling
from crewline.worker.runs.slots import Slots
from crewline.worker.runs.verdicts import Verdicts

#: Minutes of per-minute counts that a queue may keep: after as long a silence, one call writes a zero for each.
MOST_METRICS_MINUTES = 7 * 24 * 60


class Tuning:
    """Applies settings to one worker.

    Args:
        own: as the worker was made.
        queue, slots, calling, loop_watch, verdicts, committer, maintainer: the worker's.
        most: so many jobs run at once at most, whatever is asked for; None for no bound.
    """

    def __init__(
        self,
        own: Settings,
        queue: Queue,
        slots: Slots,
        calling: Calling,
        loop_watch: LoopWatch,
        verdicts: Verdicts,
        committer: Committer,
        maintainer: QueueMaintainer,
        *,
        most: int | None = None,
    ) -> None:
        self._own = own
        self._queue = queue
        self._slots = slots
        self._calling = calling
        self._loop_watch = loop_watch
        self._verdicts = verdicts
        self._committer = committer
        self._maintainer = maintainer
        self._most = most

    def resize(self, concurrency: int) -> None:
        """Sets how many jobs run at once, until settings say otherwise."""
        self._resize(concurrency)
        self._own = dataclasses.replace(self._own, concurrency=concurrency)

    def follow(self, settings: Settings) -> None:
        """Applies the queue's settings; what they leave out is as this worker was made."""
        own, verdicts = self._own, self._verdicts
        if settings.paused:
            self._slots.shut("settings")
        else:
            self._slots.admit("settings")
        self._resize(settings.concurrency or own.concurrency or 1)
        self._calling.timeout_seconds = settings.timeout_seconds or own.timeout_seconds
        self._loop_watch.bound(self._calling.timeout_seconds)
        self._committer.limit(rate_to_script(settings.rate or own.rate))
        verdicts.keep_completed = settings.keep_completed or own.keep_completed
        verdicts.keep_failed = settings.keep_failed or own.keep_failed
        self._maintainer.retain(verdicts.keep_completed, verdicts.keep_failed)
        self._queue.default_attempts = settings.attempts
        verdicts.default_backoff = settings.backoff.to_wire() if settings.backoff else None

    def _resize(self, concurrency: int) -> None:
        concurrency = min(check_count(concurrency, "concurrency"), self._most or concurrency)
        self._slots.concurrency = concurrency
        self._calling.resize(concurrency)
        self._slots.wake()


def rate_to_script(rate: tuple[int, float] | None) -> tuple[int, int]:
    """As finish_and_fetch takes it: jobs, milliseconds; (0, 0) for none."""
    return (rate[0], round(rate[1] * 1000)) if rate else (0, 0)
