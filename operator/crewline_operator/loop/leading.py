"""Leads, or waits to: has the Lease asked for and renewed in time, and says when this process may write and when not.

A process leads once. When it has lost the Lease it is to end: what it knows may be wrong by then in ways that nobody
has thought of, and a new process that lists everything is right in a second.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import UTC, datetime

import aiohttp

from crewline_operator.kube.election import Candidacy, Timing
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.events import EventRecorder
from crewline_operator.kube.fence import Fence, elapsed
from crewline_operator.kube.lease import Lease
from crewline_operator.model.fault import describe
from crewline_operator.model.note import Note

log = logging.getLogger(__name__)

#: What a call for the Lease may fail with; then it is tried again as long as there is time.
FAILURES = (ApiError, aiohttp.ClientError, TimeoutError, OSError)
#: For the last call of a process that stops: without it the others wait until the lease is over.
RELEASE_SECONDS = 2.0


class LeadershipLost(Exception):
    """The Lease is another's, or could not be renewed in time."""


class Leading:
    """One process' candidacy for one Lease, and its time in the lead."""

    def __init__(
        self, *, lease: Lease, fence: Fence, candidacy: Candidacy, timing: Timing, clock: Callable[[], float] = elapsed
    ) -> None:
        self._lease = lease
        self._fence = fence
        self._candidacy = candidacy
        self._timing = timing
        self._clock = clock

    async def run(self, events: EventRecorder, on_leading: Callable[[], None]) -> None:
        """Wait for the Lease, call `on_leading`, and keep it until cancelled. Raises LeadershipLost."""
        await self._campaign()
        me = self._candidacy.identity
        where = f"Lease {self._lease.namespace}/{self._lease.name}"
        log.info("leading: %s is ours, as %s", where, me)
        about = {"name": self._lease.name, "namespace": self._lease.namespace, "uid": self._candidacy.seen.uid}
        events.record("Lease", {"metadata": about}, Note("Normal", "LeaderElection", f"{me} became leader"))
        on_leading()
        try:
            await self._keep()
        except LeadershipLost as lost:
            log.error("not leading any more, so that this process ends: %s", lost)
            raise
        finally:
            self._fence.close()

    async def release(self) -> None:
        """Give the Lease up, if it is held, so that another one may lead at once. Nothing may be written any more."""
        self._fence.close()
        if not self._candidacy.may_act(self._clock()):
            # It is another's by now, or may be.
            return
        record = self._candidacy.release(_date())
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._lease.write(record)
        except FAILURES as error:
            log.warning("the Lease could not be released, others wait until it is over: %s", describe(error))
        else:
            log.info("the Lease is released")

    async def _campaign(self) -> None:
        """Wait until the Lease is held."""
        told = ""
        while not self._candidacy.may_act(self._clock()):
            seconds: float | None = None
            try:
                await self._look()
                seconds = self._candidacy.takes_in_seconds(self._clock())
                if not seconds:
                    await self._write()
                    continue
                says = f"waiting: {self._candidacy.seen.holder or 'nobody'} leads"
            except FAILURES as error:
                # Another one was faster, or the API server does not answer: the next look tells.
                says = f"waiting: the Lease can't be had: {describe(error)}"
            if says != told:
                log.info("%s", says)
                told = says
            look_seconds = self._timing.look_seconds * random.uniform(0.8, 1.0)
            await asyncio.sleep(look_seconds if not seconds else min(look_seconds, seconds))

    async def _keep(self) -> None:
        """Renew until that fails for too long."""
        why = "nobody has answered"
        wait_seconds, has_failed = self._timing.renew_seconds, False
        while True:
            await asyncio.sleep(max(0.0, min(wait_seconds, self._left())))
            if self._left() <= 0:
                raise LeadershipLost(f"it could not be renewed for {self._timing.renew_deadline_seconds:g} s: {why}")
            try:
                if has_failed:
                    # The last try has failed, or nobody knows whether it has.
                    await self._look()
                    if self._candidacy.is_taken:
                        raise LeadershipLost(f"{self._candidacy.seen.holder} has taken it")
                await self._write()
            except FAILURES as error:
                why = describe(error)
                log.warning("the Lease could not be renewed: %s; trying again", why)
                wait_seconds, has_failed = self._timing.look_seconds * random.uniform(0.8, 1.0), True
            else:
                wait_seconds, has_failed = self._timing.renew_seconds, False

    async def _look(self) -> None:
        async with asyncio.timeout(self._call_seconds()):
            record = await self._lease.read()
        self._candidacy.saw(record, self._clock())

    async def _write(self) -> None:
        """Take the Lease, or renew it."""
        began = self._clock()
        async with asyncio.timeout(self._call_seconds()):
            record = await self._lease.write(self._candidacy.claim(_date()))
        self._candidacy.wrote(record, began, self._clock())
        if self._candidacy.holds_until is not None:
            self._fence.extend(self._candidacy.holds_until)

    def _call_seconds(self) -> float:
        """For one call: none goes on when the lease is over, so that its loss is told in time."""
        left = self._left()
        return min(self._timing.call_seconds, left) if left > 0 else self._timing.call_seconds

    def _left(self) -> float:
        """Seconds for which the lease is held yet."""
        until = self._candidacy.holds_until
        return 0.0 if until is None else until - self._clock()


def _date() -> str:
    """For people to read: nobody decides by it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
