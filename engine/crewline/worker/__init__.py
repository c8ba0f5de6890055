"""The worker's side of a queue: lease jobs, run their handler, settle how they ended."""

from crewline.worker.handlers.syncjob import SyncJob
from crewline.worker.jobqueue import JobQueue
from crewline.worker.worker import Worker

__all__ = ["JobQueue", "SyncJob", "Worker"]
