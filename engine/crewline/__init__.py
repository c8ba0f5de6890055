"""Crewline: Redis job queues on BullMQ's layout.

from crewline import Queue, Worker

async with Queue("emails") as queue:
    await queue.add("welcome", {"to": "a@example.com"})

async def handle(job):
    await job.progress({"done": 1, "of": 1})

await Worker("emails", handle).run()
"""

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
from crewline.middleware import Middleware
from crewline.queue.dead_letters import DeadLetters
from crewline.queue.events import Event, Update
from crewline.queue.flows import FlowJob, FlowNode
from crewline.queue.job import Job
from crewline.queue.letter import DeadLetter
from crewline.queue.observing import Limits, Metrics
from crewline.queue.queue import Queue
from crewline.queue.schedule import Schedule
from crewline.redis.completed import redis_url
from crewline.wire.backoff import Backoff
from crewline.wire.dedup import Dedup
from crewline.wire.retention import Keep
from crewline.worker import JobQueue, SyncJob, Worker
from crewline.worker.handlers.routing import Router, on

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
    "Limits",
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
    "redis_url",
]
