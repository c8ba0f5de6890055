"""Secrets and ConfigMaps that somebody's spec names, each watched by its name alone and as long as it is named.

A list of all Secrets is asked for nowhere. A watch has a connection of its own; while it is up what is known is what
is, and a change is told at once. While it is not, the object is asked for again, at most every FRESH_SECONDS.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

import aiohttp
from crewline.redis.connection import end_tasks

from crewline_operator.duty import kept_up
from crewline_operator.kube.api import Api
from crewline_operator.kube.errors import ApiError, retry_after
from crewline_operator.kube.resources import CONFIG_MAPS, SECRETS
from crewline_operator.kube.store import version_of
from crewline_operator.model.key import Object

log = logging.getLogger(__name__)

U = TypeVar("U")

RESOURCES = {"Secret": SECRETS, "ConfigMap": CONFIG_MAPS}
FRESH_SECONDS = 2.5
#: After a failed try; twice as long after each further one, up to the cap.
RETRY_SECONDS = 0.5
RETRY_CAP_SECONDS = 30.0


@dataclass(frozen=True)
class Named:
    """What is named."""

    kind: str
    namespace: str
    name: str


@dataclass
class _Known(Generic[U]):
    users: set[U] = field(default_factory=set)
    obj: Object | None = None
    #: When it was asked for last, by the monotonic clock; None if it was not yet.
    asked: float | None = None
    #: Whether a watch tells of each change.
    up: bool = False
    task: asyncio.Task[None] | None = None

    @property
    def is_fresh(self) -> bool:
        return self.up or (self.asked is not None and time.monotonic() - self.asked < FRESH_SECONDS)


class NamedObjects(Generic[U]):
    """What is named, by users who are told of changes."""

    def __init__(self, api: Api, on_change: Callable[[U], None]) -> None:
        self._api = api
        self._on_change = on_change
        self._known: dict[Named, _Known[U]] = {}
        self._named_by: dict[U, frozenset[Named]] = {}

    def __len__(self) -> int:
        """How many are watched."""
        return len(self._known)

    def refer(self, user: U, named: Collection[Named] = ()) -> None:
        """`user` names these from now on, and no others."""
        before, now = self._named_by.get(user, frozenset()), frozenset(named)
        for each in before - now:
            known = self._known[each]
            known.users.discard(user)
            if not known.users:
                del self._known[each]
                if known.task is not None:
                    known.task.cancel()
        for each in now - before:
            known = self._known.setdefault(each, _Known())
            known.users.add(user)
            if known.task is None:
                name = f"the watch of {each.kind} {each.namespace}/{each.name}"
                known.task = asyncio.create_task(kept_up(name, partial(self._watch_forever, each, known)), name=name)
        if now:
            self._named_by[user] = now
        else:
            self._named_by.pop(user, None)

    async def find(self, named: Named) -> Object | None:
        """One that somebody refers to, None if it is not there. Raises what `Api.find` raises."""
        known = self._known[named]
        if not known.is_fresh:
            asked = time.monotonic()
            found = await self._ask(named)
            if not known.up:
                # else it may be older than what the watch has told meanwhile
                self._take(known, found)
                known.asked = asked
        return known.obj

    async def close(self) -> None:
        """Watch nothing any more."""
        tasks = [known.task for known in self._known.values() if known.task is not None]
        self._known.clear()
        self._named_by.clear()
        await end_tasks(*tasks)

    async def _watch_forever(self, named: Named, known: _Known[U]) -> None:
        failures = 0
        while True:
            began, wanted = time.monotonic(), 0.0
            try:
                await self._watch(named, known)
            except Exception as error:
                # whatever it is, nobody else would begin again
                if failures == 0 and not isinstance(error, aiohttp.ClientError | TimeoutError | OSError):
                    log.warning("%s %s/%s can't be watched: %s", named.kind, named.namespace, named.name, error)
                wanted = retry_after(error)
                failures = min(failures + 1, 30)
            else:
                # one that is ended at once is no better than one that is refused
                failures = 0 if time.monotonic() - began >= RETRY_SECONDS else min(failures + 1, 30)
            finally:
                known.up = False
            if failures:
                backoff = min(RETRY_CAP_SECONDS, RETRY_SECONDS * 2.0 ** (failures - 1))
                await asyncio.sleep(max(wanted, backoff * random.uniform(0.75, 1.25)))
                with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):
                    # it may be that only the watch is refused
                    self._take(known, await self._ask(named))

    async def _watch(self, named: Named, known: _Known[U]) -> None:
        async with self._api.watch(RESOURCES[named.kind], named.namespace, named.name) as events:
            # asked for once the watch stands: what comes later is told by it
            self._take(known, await self._ask(named))
            known.up = True
            async for deleted, obj in events:
                if known.obj is None or version_of(obj) > version_of(known.obj):
                    self._take(known, None if deleted else _slim(obj))

    async def _ask(self, named: Named) -> Object | None:
        found = await self._api.find(RESOURCES[named.kind], named.namespace, named.name)
        return None if found is None else _slim(found)

    def _take(self, known: _Known[U], obj: Object | None) -> None:
        changed = _content(obj) != _content(known.obj) and known.asked is not None
        known.obj = obj
        known.asked = time.monotonic()
        if changed:
            for user in known.users:
                self._on_change(user)


def _slim(obj: Object) -> Object:
    metadata = {name: obj["metadata"].get(name) for name in ("uid", "resourceVersion")}
    return {"metadata": metadata, "data": obj.get("data") or {}, "binaryData": obj.get("binaryData") or {}}


def _content(obj: Object | None) -> object:
    return None if obj is None else (obj["metadata"]["uid"], obj["data"], obj["binaryData"])
