"""Which object to reconcile next.

Watches and pollers only put keys in here; what happened is not remembered, because a reconcile looks at the
whole object anyway. So a burst of a hundred events costs one reconcile. The promises:

- a key is never reconciled by two workers at once; a key added while it is being reconciled runs once more;
- a reconcile that raises is tried again after an exponentially growing delay of its own key, up to a cap, and not
  before, whatever is seen of its object meanwhile; an edit by its user ends that;
- one slow or failing object takes at most one worker, for at most `timeout_seconds`.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Generic, TypeVar

from crewline.redis.connection import cancelled

from crewline_operator.duty import kept_up
from crewline_operator.model.fault import describe

log = logging.getLogger(__name__)

K = TypeVar("K")
#: Entries of the timer's heap that may count no more, beside as many as there are keys for later.
HEAP_SLACK = 64
#: Called after each reconcile: key, seconds it took, the error if it failed.
Observer = Callable[[K, float, BaseException | None], None]
#: Called after each that has failed: key, the error, and how many have in a row.
OnFailure = Callable[[K, BaseException, int], Awaitable[None]]


class WorkQueue(Generic[K]):
    """A set of keys to reconcile, now or later."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        backoff_seconds: float = 0.5,
        backoff_cap_seconds: float = 60.0,
        jitter: float = 0.2,
    ) -> None:
        self._clock = clock
        self._backoff_seconds = backoff_seconds
        self._backoff_cap_seconds = backoff_cap_seconds
        self._jitter = jitter
        self._ready: deque[K] = deque()
        #: Keys in `_ready`, and keys to run once more when their current run ends.
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        #: Keys for later. A key's entry in the heap counts only if its time is the one in `_due`.
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        #: Failed keys, and when the next try of each is: until then they are not made ready.
        self._held: dict[K, float] = {}
        self._sequence = 0
        self._failures: dict[K, int] = {}
        self._has_ready = asyncio.Event()
        self._has_due = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        """Reconcile `key` as soon as a worker is free; one that has failed at its next try."""
        if key in self._held:
            return
        self._due.pop(key, None)
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._ready.append(key)
            self._has_ready.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Reconcile `key` in `seconds`, or earlier if that was asked for already."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock() + seconds
        if key not in self._held and self._due.get(key, due + 1) > due:
            self._plan(key, due)

    def forget(self, key: K) -> None:
        """Drop what is planned for `key` and that it has failed: its object is gone, or is another one now."""
        self._due.pop(key, None)
        self._held.pop(key, None)
        self._failures.pop(key, None)

    def promote_due(self) -> float | None:
        """Make the keys ready whose time has come; seconds until the next one, None if there is none."""
        now = self._clock()
        while self._heap:
            due, _, key = self._heap[0]
            if self._due.get(key) != due:
                heapq.heappop(self._heap)
            elif due <= now:
                heapq.heappop(self._heap)
                self._held.pop(key, None)
                self.add(key)
            else:
                return due - now
        return None

    def failed(self, key: K, at_least_seconds: float = 0.0) -> float:
        """Plan another try of `key`; seconds until then."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        seconds = min(self._backoff_cap_seconds, self._backoff_seconds * 2.0 ** min(failures, 30))
        seconds *= 1 + random.uniform(-self._jitter, self._jitter)
        # Whoever asks to be called later by many is spread, too, and never called before.
        seconds = max(seconds, at_least_seconds * (1 + random.uniform(0, self._jitter)))
        self._held[key] = self._clock() + seconds
        self._dirty.discard(key)
        self._plan(key, self._held[key])
        return seconds

    def _plan(self, key: K, due: float) -> None:
        self._due[key] = due
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, key))
        if len(self._heap) > 2 * len(self._due) + HEAP_SLACK:
            # Entries that were planned over: without this there would be one for each plan ever made.
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)
        self._has_due.set()

    @contextlib.contextmanager
    def processing(self, key: K) -> Iterator[None]:
        """Hold `key` while it is being reconciled, so that nobody else takes it."""
        self._dirty.discard(key)
        self._processing.add(key)
        try:
            yield
        finally:
            self._processing.discard(key)
            if key in self._dirty:
                self._ready.append(key)
                self._has_ready.set()

    async def get(self) -> K:
        """The next key; waits for one."""
        while not self._ready:
            self._has_ready.clear()
            await self._has_ready.wait()
        return self._ready.popleft()

    async def run(
        self,
        reconcile: Callable[[K], Awaitable[None]],
        *,
        workers: int,
        timeout_seconds: float = 60.0,
        observer: Observer[K] | None = None,
        retry_after: Callable[[BaseException], float] = lambda _: 0.0,
        on_failure: OnFailure[K] | None = None,
    ) -> None:
        """Reconcile keys with `workers` tasks until cancelled.

        Args:
            on_failure: what it raises is logged; the key is held meanwhile, for `timeout_seconds` at most.
            retry_after: seconds for which whoever was asked does not want to be asked again, by the error of it.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(kept_up("the timer of the work queue", self._promote), name="workqueue-timer")

            async def work() -> None:
                await self._work(reconcile, timeout_seconds, observer, retry_after, on_failure)

            for number in range(workers):
                name = f"worker {number} of the work queue"
                group.create_task(kept_up(name, work), name=name)

    async def _promote(self) -> None:
        while True:
            self._has_due.clear()
            wait_seconds = self.promote_due()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._has_due.wait()

    async def _work(
        self,
        reconcile: Callable[[K], Awaitable[None]],
        timeout_seconds: float,
        observer: Observer[K] | None,
        retry_after: Callable[[BaseException], float],
        on_failure: OnFailure[K] | None,
    ) -> None:
        while True:
            key = await self.get()
            started = time.monotonic()
            error: BaseException | None = None
            with self.processing(key):
                try:
                    async with asyncio.timeout(timeout_seconds):
                        await reconcile(key)
                except (Exception, asyncio.CancelledError) as caught:
                    if cancelled():
                        raise
                    # Nobody cancels a reconcile alone: what it called has let one through that was meant for another.
                    error = caught
                    seconds = self.failed(key, retry_after(caught))
                    log.warning("%s: %s; trying again in %.1f s", key, describe(caught), seconds)
                    log.debug("%s", key, exc_info=caught)
                else:
                    self._failures.pop(key, None)
                if error is not None and on_failure is not None:
                    await self._tell(on_failure, key, error, timeout_seconds)
            if observer is not None:
                observer(key, time.monotonic() - started, error)
            # A reconcile that never waits, of a key that is always ready, must not keep the loop to itself.
            await asyncio.sleep(0)

    async def _tell(self, on_failure: OnFailure[K], key: K, error: BaseException, timeout_seconds: float) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                await on_failure(key, error, self._failures.get(key, 0))
        except (Exception, asyncio.CancelledError) as caught:
            if cancelled():
                raise
            log.debug("%s: that it has failed can't be told: %s", key, describe(caught))
