"""Kubernetes Events: what the operator did to an object and why, as `kubectl describe` shows it.

Writing an Event never holds up or fails a reconcile: they are queued, bounded, and written by a task of their own.
The same Event again raises a count instead of making another object, and one object can't leave more than BURST at
once, as with client-go's correlator.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

from crewline_operator.kube.api import Api
from crewline_operator.kube.errors import ApiError, retry_after
from crewline_operator.kube.resources import EVENTS
from crewline_operator.model.fault import describe
from crewline_operator.model.key import Object
from crewline_operator.model.moments import timestamp
from crewline_operator.model.names import API_VERSION
from crewline_operator.model.note import Note

log = logging.getLogger(__name__)

BURST = 25
REFILL_SECONDS = 20.0
QUEUE_MAX = 1000
REMEMBERED_MAX = 4096
MESSAGE_MAX_CHARS = 1024
#: Of kinds that are not ours.
API_VERSIONS = {"Lease": "coordination.k8s.io/v1"}
#: Of the object's name in that of its Event, which may have 253 characters.
NAME_MAX_CHARS = 200
COMPONENT = "crewline-operator"


class EventRecorder:
    """Leaves Events on JobQueues, ScheduledJobs, and the Lease."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(QUEUE_MAX)
        #: Event name -> how often it was written by this process.
        self._counts: OrderedDict[str, int] = OrderedDict()
        #: Object uid -> (tokens left, when they were counted).
        self._tokens: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def record(self, kind: str, obj: Object, note: Note) -> None:
        """Leave `note` on `obj` soon. Dropped if there are too many: Events are a courtesy, not a log."""
        metadata = obj["metadata"]
        log.info("%s %s/%s: %s: %s", kind, metadata["namespace"], metadata["name"], note.reason, note.message)
        if not self._take_token(metadata["uid"]):
            return
        event = _event(kind, metadata, note)
        try:
            self._queue.put_nowait((metadata["namespace"], event))
        except asyncio.QueueFull:
            log.debug("too many Events at once: one is dropped")

    async def run(self) -> None:
        """Write what is recorded, until cancelled."""
        while True:
            namespace, event = await self._queue.get()
            try:
                await self._write(namespace, event)
            except Exception as error:
                log.debug("an Event could not be written: %s", describe(error))
                await asyncio.sleep(retry_after(error))

    async def _write(self, namespace: str, event: dict[str, Any]) -> None:
        name = event["metadata"]["name"]
        count = self._counts.get(name, 0) + 1
        self._counts[name] = count
        self._counts.move_to_end(name)
        if len(self._counts) > REMEMBERED_MAX:
            self._counts.popitem(last=False)
        if count > 1:
            try:
                await self._api.merge(
                    EVENTS, namespace, name, {"count": count, "lastTimestamp": event["lastTimestamp"]}
                )
                return
            except ApiError as error:
                # The API server forgets Events after an hour: begin anew.
                if not error.not_found:
                    raise
                self._counts[name] = 1
        try:
            await self._api.create(EVENTS, namespace, event)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            # An earlier process left it: its count is unknown, so that only the time is moved.
            await self._api.merge(EVENTS, namespace, name, {"lastTimestamp": event["lastTimestamp"]})

    def _take_token(self, uid: str) -> bool:
        now = time.monotonic()
        tokens, counted = self._tokens.get(uid, (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - counted) / REFILL_SECONDS)
        taken = tokens >= 1
        self._tokens[uid] = (tokens - 1 if taken else tokens, now)
        self._tokens.move_to_end(uid)
        if len(self._tokens) > REMEMBERED_MAX:
            self._tokens.popitem(last=False)
        return taken


def _event(kind: str, metadata: Any, note: Note) -> dict[str, Any]:
    message = note.message[:MESSAGE_MAX_CHARS]
    identity = "\n".join((metadata["uid"], note.type, note.reason, message))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    now = timestamp(datetime.now(UTC))
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name'][:NAME_MAX_CHARS]}.{digest}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": API_VERSIONS.get(kind, API_VERSION),
            "kind": kind,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": note.type,
        "reason": note.reason,
        "message": message,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
