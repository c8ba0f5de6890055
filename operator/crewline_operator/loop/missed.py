"""Finds what was deleted while a watch was away.

A watch that was away for too long (HTTP 410) begins anew with a list, and says nothing of what was deleted meanwhile.
kopf passes that list on object by object; so an object that comes by a list has its whole kind listed here, too. A list
without any object is not to be seen that way: whether there are still any is asked at intervals.
"""

from __future__ import annotations

import asyncio
import logging

import aiohttp

from crewline_operator.kube.api import Api
from crewline_operator.kube.errors import ApiError, retry_after
from crewline_operator.kube.kinds import KINDS
from crewline_operator.kube.resources import Resource
from crewline_operator.kube.store import Store
from crewline_operator.loop.listing import Listing
from crewline_operator.model.fault import describe
from crewline_operator.model.settings import Settings

log = logging.getLogger(__name__)

#: A watch that begins anew passes its list on within this.
BURST_SECONDS = 1.0
#: How soon it is seen that nothing is left of a kind, if no watch has said so.
LEFT_CHECK_SECONDS = 30.0
RETRY_SECONDS = 5.0


class MissedDeletions:
    """Lists a kind again when there is a reason to think that a deletion was missed."""

    def __init__(self, *, api: Api, store: Store, listing: Listing, settings: Settings) -> None:
        self._api = api
        self._store = store
        self._listing = listing
        self._settings = settings
        self._doubtful: set[str] = set()
        self._doubt = asyncio.Event()

    def watch_began_anew(self, kind: str) -> None:
        """Have a kind listed soon."""
        self._doubtful.add(kind)
        self._doubt.set()

    async def run(self) -> None:
        """Look for missed deletions until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LEFT_CHECK_SECONDS):
                    await self._doubt.wait()
                await asyncio.sleep(BURST_SECONDS)
            except TimeoutError:
                pass
            try:
                await self._doubt_emptied()
                await self._list_doubtful()
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("can't look for missed deletions: %s; trying again", describe(error))
                await asyncio.sleep(max(RETRY_SECONDS, retry_after(error)))

    async def _list_doubtful(self) -> None:
        self._doubt.clear()
        doubtful, self._doubtful = self._doubtful, set()
        try:
            while doubtful:
                await self._listing.list_kind(min(doubtful))
                doubtful.remove(min(doubtful))
        finally:
            for kind in doubtful:
                self.watch_began_anew(kind)

    async def _doubt_emptied(self) -> None:
        """Doubt the kinds of which objects are known and none is there."""
        for namespace in self._settings.watch_namespaces or (None,):
            for kind, resource, label in KINDS:
                known = self._store.of(kind).has_any(namespace)
                if known and not await self._has_any(resource, namespace, label):
                    self._doubtful.add(kind)

    async def _has_any(self, resource: Resource, namespace: str | None, label: str | None) -> bool:
        try:
            return await self._api.has_any(resource, namespace, label_selector=label)
        except ApiError as error:
            if namespace is None or not error.forbidden:
                raise
            # A Role that was taken away in one namespace holds up no other.
            return True
