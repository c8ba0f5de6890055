"""What a queue's workers do for it beside its jobs, done for one that has none now.

Retention is kept by whoever finishes a job, and on an idle queue by its workers: at zero there are none, and what is
kept would stay for as long as nobody adds a job.
"""

from __future__ import annotations

from typing import Any

from crewline.queue.queue import Queue
from crewline.upkeep.maintainer import QueueMaintainer
from crewline.wire.settings import SETTINGS_KEY, Settings, read_settings

from crewline_operator.redis.bounded import known, start_question, whole
from crewline_operator.redis.counts import SETTINGS_MAX_BYTES

#: The length of a lease and the most crashes, which a sweep does not look at.
LEASE_SECONDS, MOST_CRASHES = 30.0, 3


async def sweep_queue(queue: Queue) -> None:
    """One round, a bounded part of the queue. Raises what the first calls to Redis raise."""
    question = start_question(queue.keys.extra(SETTINGS_KEY), SETTINGS_MAX_BYTES)
    start: Any = await queue.redis.getrange(*question[1:])
    stored = known(whole(start, SETTINGS_MAX_BYTES))
    settings, _ = read_settings(stored, Settings()) if stored is not None else (Settings(), [])
    maintainer = QueueMaintainer(
        queue, LEASE_SECONDS, LEASE_SECONDS, MOST_CRASHES, settings.keep_completed, settings.keep_failed
    )
    await maintainer.sweep_once()
    await maintainer.close()
