"""Lists all that is watched: once before anything is decided, and then to correct what a watch may have missed."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

import aiohttp

from crewline_operator.kube.api import Api
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.kinds import KINDS, check_served
from crewline_operator.kube.schema import INSTALL, check_crds
from crewline_operator.loop.intake import Intake
from crewline_operator.model.fault import describe
from crewline_operator.model.settings import Settings

log = logging.getLogger(__name__)

FIRST_LIST_RETRY_CAP_SECONDS = 10.0
ROLE_MISSING = "grant the operator the chart's Role there, or take the namespace out of CREWLINE_WATCH_NAMESPACES"
CRDS_MISSING = f"are the CRDs installed? {INSTALL}"


class Listing:
    """Lists what the operator looks after."""

    def __init__(self, *, api: Api, intake: Intake, settings: Settings) -> None:
        self._api = api
        self._intake = intake
        self._settings = settings
        #: Watched namespaces that may not be listed.
        #: Of two lists at a time the one that began first may end last, and look like one of restored data.
        self._one_at_a_time = asyncio.Lock()
        self._refused: set[str] = set()

    async def first(self) -> None:
        """List everything once; waits for the API server, and until it tells of all kinds. Raises OldSchema."""
        wait_seconds = 0.5
        while True:
            try:
                await check_crds(self._api)
                await self._list_all()
                await check_served(self._api)
            except ApiError as error:
                wait_seconds = max(wait_seconds, error.retry_after_seconds)
                mend = f" ({CRDS_MISSING})" if error.not_found else ""
                log.warning("can't list: %s%s; trying again in %.1f s", error, mend, wait_seconds)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("the API server does not answer: %s; trying again in %.1f s", describe(error), wait_seconds)
            else:
                return
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(FIRST_LIST_RETRY_CAP_SECONDS, wait_seconds * 2)

    async def again(self, on_listed: Callable[[], None]) -> None:
        """List everything at intervals and call `on_listed` after each, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.resync_seconds * random.uniform(0.9, 1.1))
            try:
                await self._list_all()
            except (ApiError, aiohttp.ClientError, TimeoutError, OSError) as error:
                log.warning("resync: %s; the next one comes in its time", describe(error))
                continue
            on_listed()

    async def list_kind(self, kind: str) -> None:
        """List one kind now. Raises what `Api.list` raises."""
        await self._list_all(kind)

    async def _list_all(self, only: str | None = None) -> None:
        listed = False
        refusal: ApiError | None = None
        for namespace in self._settings.watch_namespaces or (None,):
            try:
                await self._list_namespace(namespace, only)
            except ApiError as error:
                if namespace is None or not error.forbidden:
                    raise
                # A Role that is missing in one holds up no other.
                refusal = error
                self._tell_refused(namespace, error)
            else:
                listed = True
                self._tell_listed(namespace)
        if refusal is not None and not listed:
            raise refusal

    async def _list_namespace(self, namespace: str | None, only: str | None) -> None:
        for kind, resource, label in KINDS:
            if only in (None, kind):
                async with self._one_at_a_time:
                    objects, version = await self._api.list(resource, namespace, label_selector=label)
                    self._intake.on_list(kind, objects, version, namespace)

    def _tell_refused(self, namespace: str, error: ApiError) -> None:
        if namespace not in self._refused:
            self._refused.add(namespace)
            log.warning("namespace %s is not looked after: %s (%s)", namespace, error, ROLE_MISSING)

    def _tell_listed(self, namespace: str | None) -> None:
        if namespace in self._refused:
            self._refused.discard(namespace)
            log.info("namespace %s is looked after again", namespace)
