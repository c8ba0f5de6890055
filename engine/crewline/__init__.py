"""Crewline: Redis job queues on BullMQ's layout.

from crewline import Queue, Worker

async with Queue("emails") as queue:
    await queue.add("welcome", {"to": "a@example.com"})

async def handle(job):
    await job.progress({"done": 1, "of": 1})

await Worker("emails", handle).run()
"""

from crewline.backoff import Backoff
from crewline.dead_letters import DeadLetter, DeadLetters
from crewline.errors import (
    CrewlineError,
    HandlerNotFound,
    InvalidOption,
    InvalidPayload,
    JobFailed,
    JobNotFound,
    LeaseLost,
    Reject,
    Retry,
)
from crewline.events import Event, Update
from crewline.flows import FlowJob, FlowNode
from crewline.job import Job
from crewline.middleware import Middleware
from crewline.observing import Metrics
from crewline.options import Dedup, Keep
from crewline.queue import Queue
from crewline.routing import Router, on
from crewline.schedules import Schedule
from crewline.worker import JobQueue, SyncJob, Worker

__all__ = [
    "Backoff",
    "CrewlineError",
    "DeadLetter",
    "DeadLetters",
    "Dedup",
    "Event",
    "FlowJob",
    "FlowNode",
    "HandlerNotFound",
    "InvalidOption",
    "InvalidPayload",
    "Job",
    "JobFailed",
    "JobNotFound",
    "JobQueue",
    "Keep",
    "LeaseLost",
    "Metrics",
    "Middleware",
    "Queue",
    "Reject",
    "Retry",
    "Router",
    "Schedule",
    "SyncJob",
    "Update",
    "Worker",
    "on",
]
