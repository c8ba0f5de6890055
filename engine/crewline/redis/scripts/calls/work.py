"""Typed calls of the scripts in ``work``: what a worker does for the jobs it runs."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from crewline.redis.scripts.calls.caller import Caller
from crewline.redis.scripts.values import Fetched, Heard, Result
from crewline.wire.drains import drain_key
from crewline.wire.registry import REGISTRY_KEY, entry_key
from crewline.wire.settings import SETTINGS_KEY
from crewline.wire.text import text


class WorkCalls(Caller):
    """The calls in ``work``: what a worker does for the jobs it runs."""

    async def finish_and_fetch(
        self,
        results: Sequence[Result],
        *,
        letters: str,
        token: str,
        lease_ms: int,
        worker: str,
        room: int,
        rate: tuple[int, int] = (0, 0),
        points: int = 0,
        again: int = 0,
        unread_ms: int = 0,
        suspects: int | None = None,
        larger: bool = False,
    ) -> Fetched:
        """Settles results and fetches jobs.

        Args:
            again: which repeat it is of a call that was not answered, with the same token and results; 0 for the first.
            larger: nothing is fetched but a job that waits for a larger worker.
        """
        most, repeated = _most(suspects, larger), self._repeated + token
        asked = (letters, token, lease_ms, worker, room, *rate, points, again or "", unread_ms or "", most, repeated)
        sent = itertools.chain.from_iterable(result.sent() for result in results)
        return self.fetched(await self.call("finish_and_fetch", self.keys.queue, *asked, *sent))

    def fetched(self, reply: list[Any]) -> Fetched:
        """What a finish_and_fetch has answered, however it was sent."""
        self.tell_refused(reply[5:])
        return Fetched.of(reply)

    def fetch_command(
        self,
        *,
        letters: str,
        token: str,
        lease_ms: int,
        worker: str,
        room: int,
        rate: tuple[int, int],
        points: int,
        unread_ms: int = 0,
        suspects: int | None = None,
        larger: bool = False,
    ) -> tuple[Any, ...]:
        """A finish_and_fetch that settles nothing, as a command; its reply is for `fetched`.

        Args:
            unread_ms: how long a lease holds until extend_leases says that the caller has read of it; 0: lease_ms.
            suspects: how many jobs that were with a worker that died are fetched at most; None for no bound.
        """
        most, repeated = _most(suspects, larger), self._repeated + token
        asked = (letters, token, lease_ms, worker, room, *rate, points, "", unread_ms or "", most, repeated)
        return self.command("finish_and_fetch", self.keys.queue, *asked)

    async def check_rights(self, unused_id: str) -> list[str]:
        """What the user lacks: commands, and patterns of keys."""
        return [text(each) for each in await self.call("check_rights", unused_id)]

    async def extend_leases(self, lease_ms: int, *held: bytes | str | int) -> list[str]:
        return [text(job_id) for job_id in await self.call("extend_leases", lease_ms, *held)]

    async def mark_alone(self, job_id: str, token: str, alone: bool = True) -> int:
        return int(await self.call("mark_alone", job_id, token, "1" if alone else ""))

    async def update_progress(self, job_id: str, progress: str, token: str) -> int:
        return int(await self.call("update_progress", job_id, progress, token))

    async def append_log(self, job_id: str, line: str, most: int, token: str) -> int:
        return int(await self.call("append_log", job_id, line, most, token))

    async def forget_children(self, job_id: str, token: str) -> int:
        return int(await self.call("forget_children", job_id, token))

    async def beat(
        self, name: str, worker_id: str, ttl_ms: int, told: str, settings_sha: str,
        running: Sequence[tuple[str, str]],
    ) -> Heard:  # fmt: skip
        """``running``: id and token of each job that runs; ``worker_id``: by what the worker is asked to drain."""
        extra = self.keys.extra
        cancels, drain, *settings = await self.call(
            "beat", extra(REGISTRY_KEY), extra(entry_key(name)), extra(SETTINGS_KEY), extra(drain_key(worker_id)), name,
            ttl_ms, told, settings_sha, *itertools.chain.from_iterable(running),
        )  # fmt: skip
        told_to_end = [(text(job_id), text(token), text(reason)) for job_id, token, reason in cancels]
        return Heard(told_to_end, text(drain), settings[0] if settings else None)


def _most(suspects: int | None, larger: bool) -> int | str:
    """What finish_and_fetch takes as its suspects."""
    if larger:
        return "larger"
    return "" if suspects is None else suspects
