"""What PrometheusMetrics tells of runs."""

from __future__ import annotations

import asyncio
from typing import Any

from crewline import Job, Queue
from crewline.middleware import PrometheusMetrics
from prometheus_client import CollectorRegistry


async def test_how_long_a_job_waited_is_observed_at_its_first_run_only(queue: Queue, start_worker: Any) -> None:
    registry = CollectorRegistry()

    async def handle(job: Job) -> None:
        if job.attempts_made == 0:
            raise ValueError("once")

    job = await queue.add("n", {}, attempts=2, backoff=0)
    await asyncio.sleep(0.2)
    await start_worker(handle, middleware=[PrometheusMetrics(registry)])
    await job.result(timeout=5)

    def sample(what: str, **labels: str) -> float | None:
        return registry.get_sample_value(what, {"queue": "emails", "name": "n", **labels})

    assert sample("crewline_job_wait_seconds_count") == 1
    assert (sample("crewline_job_wait_seconds_sum") or 0) >= 0.2
    assert sample("crewline_jobs_running") == 0
    assert sample("crewline_jobs_ended_total", outcome="failed") == 1
    assert sample("crewline_jobs_ended_total", outcome="completed") == 1


async def test_a_run_that_was_handed_back_or_cancelled_is_none_that_failed(
    queue: Queue, start_worker: Any, until: Any
) -> None:
    registry = CollectorRegistry()

    async def handle(job: Job) -> None:
        await asyncio.sleep(60)

    worker = await start_worker(handle, middleware=[PrometheusMetrics(registry)])
    cancelled, returned = await queue.add("n", 1), await queue.add("n", 2)
    await until(lambda: worker.running == 2)
    await cancelled.cancel()
    await until(lambda: worker.running == 1)
    await worker.stop(grace_seconds=0)

    async def back() -> bool:
        return await returned.state() == "waiting"

    await until(back)
    ended = {
        outcome: registry.get_sample_value(
            "crewline_jobs_ended_total", {"queue": "emails", "name": "n", "outcome": outcome}
        )
        for outcome in ("completed", "failed", "stopped")
    }
    assert ended == {"completed": None, "failed": None, "stopped": 2}
