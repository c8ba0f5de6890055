"""Hooks around every job of a worker; metrics and tracing are built on them."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import Any

from crewline.errors import LeaseLost
from crewline.queue.job import Job


class Middleware:
    """Does nothing; override what is needed. All run on the worker's event loop."""

    async def before(self, job: Job) -> None:
        """A handler is about to run. What it raises counts as the handler's own failure."""

    async def after(self, job: Job, result: Any) -> None:
        """The handler returned. What it raises is logged, and changes nothing.

        How Redis takes that is known later: a job that has added children to itself, and returns while some of them
        still run, fails all the same.
        """

    async def failed(self, job: Job, error: BaseException) -> None:
        """The handler raised, or a later hook's `before`, or no route takes the job's name.

        A run that is cancelled, handed back or without its lease comes with what its clean-up raised, mostly a
        CancelledError; one in a thread once that returns. A suspect that goes back from a process of its own (it raised
        there, or there was none) comes with that error, and runs again. What the hook raises is logged, and changes
        nothing.
        """


class PrometheusMetrics(Middleware):
    """Counts and times jobs for Prometheus; needs the package prometheus-client.

    A run's outcome is ``completed``, ``failed``, or ``stopped``: cancelled, handed back at a worker's end, or
    without its lease. An alert on those that failed is not to go off at each rollout.

    Args:
        registry: a ``CollectorRegistry``; the default one if None.
    """

    def __init__(self, registry: Any = None) -> None:
        from prometheus_client import REGISTRY, Counter, Gauge, Histogram

        registry = registry or REGISTRY
        labels = ("queue", "name")
        self._ended = Counter("crewline_jobs_ended", "Runs that ended.", (*labels, "outcome"), registry=registry)
        self._running = Gauge("crewline_jobs_running", "Jobs that run now.", labels, registry=registry)
        self._seconds = Histogram("crewline_job_duration_seconds", "How long runs took.", labels, registry=registry)
        self._waited = Histogram(
            "crewline_job_wait_seconds", "How long jobs waited before their first run.", labels, registry=registry
        )
        self._started: ContextVar[float] = ContextVar("crewline_started", default=0.0)

    async def before(self, job: Job) -> None:
        self._running.labels(job.queue_name, job.name).inc()
        if job.attempts_started == 1 and job.processed_on_ms is not None:
            # both by Redis' clock
            self._waited.labels(job.queue_name, job.name).observe(max(job.processed_on_ms - job.timestamp_ms, 0) / 1000)
        self._started.set(time.perf_counter())

    async def after(self, job: Job, result: Any) -> None:
        self._end(job, "completed")

    async def failed(self, job: Job, error: BaseException) -> None:
        stopped = isinstance(error, asyncio.CancelledError | LeaseLost)
        self._end(job, "stopped" if stopped else "failed")

    def _end(self, job: Job, outcome: str) -> None:
        self._running.labels(job.queue_name, job.name).dec()
        self._seconds.labels(job.queue_name, job.name).observe(time.perf_counter() - self._started.get())
        self._ended.labels(job.queue_name, job.name, outcome).inc()
