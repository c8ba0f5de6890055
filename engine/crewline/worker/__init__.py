"""The worker's side of a queue: lease jobs, run their handler, settle how they ended."""

from crewline.worker.execution import SyncJob
from crewline.worker.worker import Worker

__all__ = ["SyncJob", "Worker"]
