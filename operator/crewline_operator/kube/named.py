"""Secrets and ConfigMaps that somebody's spec names, each read by its name alone and as long as it is named.

A list of all is asked for nowhere. A watch has a connection of its own, which costs some 300 KiB by TLS, and whoever
may make JobQueues names as many as they like: so those that were named or have changed last are watched, WATCHES of
them, and the others are asked for in turn. A change of what is watched is seen at once, of the others within
POLL_SECONDS, or longer where they are more than POLL_SECONDS * POLLS_PER_SECOND. While a watch is not up its object is
asked for at most every FRESH_SECONDS.
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
from crewline.redis.connection import cancelled, end_tasks

from crewline_operator.duty import kept_up
from crewline_operator.kube.api import Api
from crewline_operator.kube.content import is_same, read_content, read_digest
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
#: At a time: 30 MiB by TLS.
WATCHES = 100
#: For which a watch is kept before another takes its place: at a start all are needed at once.
KEPT_SECONDS = 60.0
#: A round of all that are not watched, and how many of them are asked for a second at most.
POLL_SECONDS = 30.0
POLLS_PER_SECOND = 50.0


@dataclass(frozen=True)
class Named:
    """What is named; of what may be large and is not read itself only a digest is kept."""

    kind: str
    namespace: str
    name: str
    as_digest: bool = False

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    def read(self, obj: Object) -> Object:
        """What is kept of it."""
        return read_digest(obj) if self.as_digest else read_content(obj)


@dataclass
class _Known(Generic[U]):
    users: set[U] = field(default_factory=set)
    obj: Object | None = None
    #: When what is known was asked for, or told, by the monotonic clock; None if it was not yet.
    asked: float | None = None
    #: Whether a watch tells of each change.
    up: bool = False
    task: asyncio.Task[None] | None = None

    def stop_watching(self) -> None:
        if self.task is not None:
            self.task.cancel()
        self.task, self.up = None, False


class NamedObjects(Generic[U]):
    """What is named, by users who are told of changes."""

    def __init__(self, api: Api, on_change: Callable[[U], None]) -> None:
        self._api = api
        self._on_change = on_change
        self._known: dict[Named, _Known[U]] = {}
        self._named_by: dict[U, frozenset[Named]] = {}
        #: What is watched, and when it was needed last: the earliest one first.
        self._watched: dict[Named, float] = {}
        #: What is asked for in turn, the next one first.
        self._polled: dict[Named, None] = {}
        self._polling: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many are read."""
        return len(self._known)

    def refer(self, user: U, named: Collection[Named] = ()) -> None:
        """`user` names these from now on, and no others."""
        before, now = self._named_by.get(user, frozenset()), frozenset(named)
        for each in before - now:
            known = self._known[each]
            known.users.discard(user)
            if not known.users:
                known.stop_watching()
                del self._known[each]
                self._watched.pop(each, None)
                self._polled.pop(each, None)
        for each in now - before:
            self._known.setdefault(each, _Known()).users.add(user)
            self._need(each)
        if now:
            self._named_by[user] = now
        else:
            self._named_by.pop(user, None)

    async def find(self, named: Named) -> Object | None:
        """One that somebody refers to, None if it is not there. Raises what `Api.find` raises."""
        known = self._known[named]
        if not self._is_fresh(named, known):
            await self._ask(named, known)
        return known.obj

    async def close(self) -> None:
        """Read nothing any more."""
        tasks = [known.task for known in self._known.values()] + [self._polling]
        for of_all in (self._known, self._named_by, self._watched, self._polled):
            of_all.clear()
        await end_tasks(*(task for task in tasks if task is not None))

    def _is_fresh(self, named: Named, known: _Known[U]) -> bool:
        if known.up or known.asked is None:
            return known.up
        # one that was due in a round and has not come is asked for by whoever needs it
        round_seconds = max(POLL_SECONDS, len(self._polled) / POLLS_PER_SECOND)
        seconds = 2 * round_seconds if named in self._polled else FRESH_SECONDS
        return time.monotonic() - known.asked < seconds

    def _need(self, named: Named) -> None:
        """Have one watched that was named just now, or has changed, if there is room or somebody's place to take."""
        now = time.monotonic()
        if named not in self._watched and len(self._watched) >= WATCHES:
            earliest = next(iter(self._watched))
            if now - self._watched[earliest] < KEPT_SECONDS:
                self._poll(named)
                return
            del self._watched[earliest]
            self._known[earliest].stop_watching()
            self._poll(earliest)
        self._watched.pop(named, None)
        self._watched[named] = now
        self._polled.pop(named, None)
        known = self._known[named]
        if known.task is None:
            name = f"the watch of {named}"
            known.task = asyncio.create_task(kept_up(name, partial(self._watch_forever, named, known)), name=name)

    def _poll(self, named: Named) -> None:
        self._polled.setdefault(named)
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll_in_turn(), name="named objects")

    async def _poll_in_turn(self) -> None:
        while self._polled:
            named = next(iter(self._polled))
            if len(self._watched) < WATCHES:
                self._need(named)
                continue
            # the last one of the next round
            del self._polled[named]
            self._polled[named] = None
            wanted = 0.0
            try:
                await self._ask(named, self._known[named])
            except (Exception, asyncio.CancelledError) as error:
                if cancelled():
                    raise
                # told to whoever needs it, when what is known is old
                wanted = retry_after(error)
            await asyncio.sleep(max(wanted, POLL_SECONDS / max(1, len(self._polled)), 1 / POLLS_PER_SECOND))

    async def _watch_forever(self, named: Named, known: _Known[U]) -> None:
        failures = 0
        while True:
            began, wanted = time.monotonic(), 0.0
            try:
                await self._watch(named, known)
            except (Exception, asyncio.CancelledError) as error:
                # whatever it is, nobody else would begin again
                if cancelled():
                    raise
                if failures == 0 and not isinstance(error, aiohttp.ClientError | TimeoutError | OSError):
                    log.warning("%s can't be watched: %s", named, error)
                wanted = retry_after(error)
                failures = min(failures + 1, 30)
            else:
                # one that is ended at once is no better than one that is refused
                failures = 0 if time.monotonic() - began >= RETRY_SECONDS else min(failures + 1, 30)
            finally:
                if known.task is asyncio.current_task():
                    known.up = False
            if failures:
                backoff = min(RETRY_CAP_SECONDS, RETRY_SECONDS * 2.0 ** (failures - 1))
                await asyncio.sleep(max(wanted, backoff * random.uniform(0.75, 1.25)))
                with contextlib.suppress(ApiError, aiohttp.ClientError, TimeoutError, OSError):
                    # it may be that only the watch is refused
                    await self._ask(named, known)

    async def _watch(self, named: Named, known: _Known[U]) -> None:
        async with self._api.watch(RESOURCES[named.kind], named.namespace, named.name) as events:
            # asked for once the watch stands: what comes later is told by it
            await self._ask(named, known)
            known.up = True
            async for deleted, obj in events:
                if known.obj is None or version_of(obj) > version_of(known.obj):
                    self._take(named, known, None if deleted else obj, time.monotonic())

    async def _ask(self, named: Named, known: _Known[U]) -> None:
        asked = time.monotonic()
        self._take(named, known, await self._api.find(RESOURCES[named.kind], named.namespace, named.name), asked)

    def _take(self, named: Named, known: _Known[U], obj: Object | None, asked: float) -> None:
        """Keep what was told to a question of the time `asked`, unless something was told to a later one."""
        if known.asked is not None and asked < known.asked:
            return
        told = None if obj is None else named.read(obj)
        changed = known.asked is not None and not is_same(told, known.obj)
        known.obj, known.asked = told, asked
        if changed and self._known.get(named) is known:
            self._need(named)
            for user in known.users:
                self._on_change(user)
