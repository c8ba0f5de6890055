"""The Lua scripts and one typed Python call for each.

A script is a real file with a header that names its KEYS, ARGV, return value and events; a line
``-- @include PART/NAME`` puts ``lib/PART/NAME.lua`` and what that includes in its place, once a script. Everything that
changes a queue is one of these calls: what a script does is done whole or not at all, and what touches many jobs takes
a bounded number of them a call.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from crewline.redis.lanes import Lanes
from crewline.wire.keys import Keys
from crewline.wire.options import KEEP_COMPLETED, Encoded, Keep, Shape
from crewline.wire.text import text

#: The folders of scripts, by what they are for; ``lib`` holds what they include.
GROUPS = ("add", "work", "change", "queue", "upkeep")

#: Jobs that one call of a script that goes through many touches at most; each script's header says its own bound.
MOST_JOBS = 200

_include = re.compile(r"^-- @include ([\w/]+)\n", re.MULTILINE)


@cache
def source(name: str) -> str:
    """The text of a script, its includes put in."""
    folder = files(__package__)
    group = next(group for group in GROUPS if (folder / group / f"{name}.lua").is_file())
    put_in: set[str] = set()

    def include(match: re.Match[str]) -> str:
        if match[1] in put_in:
            return ""
        put_in.add(match[1])
        return _include.sub(include, (folder / "lib" / f"{match[1]}.lua").read_text())

    return _include.sub(include, (folder / group / f"{name}.lua").read_text())


@cache
def sha(name: str) -> str:
    return hashlib.sha1(source(name).encode(), usedforsecurity=False).hexdigest()


class Fetched(NamedTuple):
    """What finish_and_fetch returns."""

    now_ms: int
    codes: list[int]
    jobs: list[list[Any]]
    next_due_ms: int
    limited_ms: int


class Result(NamedTuple):
    """How a job ended, as finish_and_fetch takes it.

    Attributes:
        outcome: completed, failed, retry, or back (handed back: no attempt was used up).
        value: completed: the result, JSON text; failed and retry: the reason.
        trace, traces: the stack trace, and how many of them the job keeps.
        delay_ms, lifo: retry: when, and whether before those that wait.
        keep_completed, keep_failed: retention, each for its outcome: one that turns out to be another takes that one's.
        suspect: it was a suspect, and whoever ran it lives.
        exhausted: failed: it had attempts, and they are used up.
        letter: failed: it gets a dead letter.
        crashed: back: the process that ran nothing but it died under it.
        unreadable, optionless: its data is not JSON; its options are none that can be read.
    """

    job_id: str
    token: str
    outcome: str
    value: str
    trace: str = ""
    traces: int = 10
    delay_ms: int = 0
    lifo: bool = False
    keep_completed: str = ""
    keep_failed: str = ""
    suspect: bool = False
    exhausted: bool = False
    letter: bool = True
    unreadable: bool = False
    optionless: bool = False
    crashed: bool = False

    def sent(self) -> tuple[str, str, str, str, str]:
        """As finish_and_fetch takes it: few arguments, since each costs both sides."""
        if self.outcome == "completed" and not self.suspect:
            return self.job_id, self.token, self.outcome, self.value, self.keep_completed
        more: dict[str, Any] = {}
        if self.outcome == "completed":
            more["keep"] = self.keep_completed
        elif self.outcome != "back":
            more |= {"trace": self.trace, "traces": self.traces}
            more |= {"keep": self.keep_failed} if self.outcome == "failed" else {"delay": self.delay_ms}
        for name in ("lifo", "suspect", "exhausted", "unreadable", "optionless", "crashed"):
            if getattr(self, name):
                more[name] = True
        if not self.letter:
            more["letter"] = False
        return self.job_id, self.token, self.outcome, self.value, json.dumps(more)


def _bounds(keep: Keep) -> tuple[int | str, int | str]:
    """Count and age as scripts take them, '' for no bound."""
    return "" if keep.count is None else keep.count, "" if keep.age_seconds is None else keep.age_seconds


class Added(NamedTuple):
    """What add_jobs returns: an id for each job, and the positions, from 0, of those for which nothing was stored."""

    ids: list[str]
    left_out: frozenset[int]


_ALL_ADDED: frozenset[int] = frozenset()


def _added(reply: list[Any], count: int) -> Added:
    left_out = frozenset(int(place) - 1 for place in reply[count:]) if len(reply) > count else _ALL_ADDED
    return Added([text(job_id) for job_id in reply[:count]], left_out)


def _shaped(jobs: Sequence[Encoded]) -> list[str | int]:
    """Jobs as add_jobs takes them: each shape once, then its number, the id and the data of each job."""
    numbers: dict[Shape, int] = {}
    sent: list[str | int] = []
    for job_id, data, shape in jobs:
        number = numbers.get(shape)
        if number is None:
            number = numbers[shape] = len(numbers) + 1
        sent += (number, job_id, data)
    return [len(numbers), *itertools.chain.from_iterable(numbers), *sent]


class Scripts:
    """The scripts of one queue on one connection pool."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self.redis = redis
        self.keys = keys
        self._declared = keys.declared()
        self._lanes = Lanes(redis)

    async def renew(self) -> None:
        """Makes the next calls on new connections; see `Lanes.renew`."""
        await self._lanes.renew()

    async def close(self) -> None:
        """Closes the connections of its own; the client stays as it is."""
        await self._lanes.close()

    def command(self, name: str, *args: str | int | bytes) -> tuple[Any, ...]:
        """A script's call as a command, for callers that send it themselves; Redis may not know the script."""
        return ("EVALSHA", sha(name), len(self._declared), *self._declared, self.keys.base, *args)

    async def call(self, name: str, *args: str | int | bytes) -> Any:
        """Runs a script; loads it first where Redis does not know it yet (a restart, a failover)."""
        declared = self._declared
        try:
            return await self._lanes.call(*self.command(name, *args))
        except NoScriptError:
            return await self._lanes.call("EVAL", source(name), len(declared), *declared, self.keys.base, *args)

    async def add_jobs(self, jobs: Sequence[Encoded]) -> Added:
        return _added(await self.call("add_jobs", *_shaped(jobs)), len(jobs))

    async def add_in_turn(self, batches: Iterable[Sequence[Encoded]]) -> AsyncGenerator[Added]:
        """As `add_jobs` for each batch, in their order; the next one is sent before the last is answered."""
        rest = iter(batches)
        # the first loads the script where Redis does not know it
        for batch in itertools.islice(rest, 1):
            yield await self.add_jobs(batch)
        sent: deque[Sequence[Encoded]] = deque()

        def commands() -> Iterator[tuple[Any, ...]]:
            for batch in rest:
                sent.append(batch)
                yield self.command("add_jobs", *_shaped(batch))

        async with contextlib.aclosing(self._lanes.call_ahead(commands())) as replies:
            async for reply in replies:
                batch = sent.popleft()
                if isinstance(reply, NoScriptError):
                    yield await self.add_jobs(batch)
                else:
                    yield _added(reply, len(batch))

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
        again: bool = False,
    ) -> Fetched:
        asked = (letters, token, lease_ms, worker, room, *rate, points, "1" if again else "")
        sent = itertools.chain.from_iterable(result.sent() for result in results)
        return Fetched(*await self.call("finish_and_fetch", self.keys.queue, *asked, *sent))

    def fetch_command(
        self, *, letters: str, token: str, lease_ms: int, worker: str, room: int, rate: tuple[int, int], points: int
    ) -> tuple[Any, ...]:
        """A finish_and_fetch that settles nothing, as a command; its reply makes a `Fetched`."""
        asked = (letters, token, lease_ms, worker, room, *rate, points, "")
        return self.command("finish_and_fetch", self.keys.queue, *asked)

    async def extend_leases(self, lease_ms: int, *held: str | int) -> list[str]:
        return [text(job_id) for job_id in await self.call("extend_leases", lease_ms, *held)]

    async def recover_stalled(self, interval_ms: int, most: int) -> tuple[list[str], list[str]]:
        reply = await self.call("recover_stalled", interval_ms, most, self.keys.stalled_check)
        if not reply:
            return [], []
        return [text(i) for i in reply[0]], [text(i) for i in reply[1]]

    async def add_flow(self, jobs: Sequence[tuple[str, Encoded]]) -> list[str]:
        sent = [(base, each.job_id, each.shape.name, each.data, *each.shape[1:]) for base, each in jobs]
        ids = await self.call("add_flow", *itertools.chain.from_iterable(sent))
        return [text(job_id) for job_id in ids]

    async def sweep_jobs(self, state: str, keep: Keep, most: int) -> int:
        return int(await self.call("sweep_jobs", state, *_bounds(keep), most))

    async def mark_alone(self, job_id: str, token: str, alone: bool = True) -> bool:
        return int(await self.call("mark_alone", job_id, token, "1" if alone else "")) == 0

    async def update_progress(self, job_id: str, progress: str, token: str) -> int:
        return int(await self.call("update_progress", job_id, progress, token))

    async def append_log(self, job_id: str, line: str, most: int, token: str) -> int:
        return int(await self.call("append_log", job_id, line, most, token))

    async def forget_children(self, job_id: str, token: str) -> int:
        return int(await self.call("forget_children", job_id, token))

    async def pause_queue(self) -> bool:
        return bool(await self.call("pause_queue"))

    async def resume_queue(self) -> bool:
        changed, left = await self.call("resume_queue")
        while left:
            changed, left = await self.call("resume_queue")
        return bool(changed)

    async def remove_job(self, job_id: str, children: bool, most: int = MOST_JOBS) -> int:
        code = 2
        while code == 2:
            code = int(await self.call("remove_job", job_id, "1" if children else "", most))
        return code

    async def replay_dead_letter(
        self,
        job_id: str,
        letters: str,
        letter_id: str,
        name: str,
        data: str,
        opts: str,
        priority: int,
        keep: Keep = KEEP_COMPLETED,
    ) -> int:
        job = (job_id, letters, letter_id, name, data, opts, priority)
        return int(await self.call("replay_dead_letter", *job, *_bounds(keep)))

    async def beat(
        self, keys: Keys, name: str, ttl_ms: int, told: str, settings_sha: str, running: Sequence[str]
    ) -> tuple[list[tuple[str, str]], bytes | None]:
        cancels, *settings = await self.call(
            "beat", keys.extra("workers"), keys.extra(f"worker:{name}"), keys.extra("cancels"), keys.extra("settings"),
            name, ttl_ms, told, settings_sha, *running,
        )  # fmt: skip
        return [(text(job_id), text(reason)) for job_id, reason in cancels], settings[0] if settings else None

    async def cancel_job(self, job_id: str, reason: str) -> int:
        return int(await self.call("cancel_job", job_id, reason, self.keys.extra("cancels")))

    async def read_clock(self) -> int:
        return int(await self.call("read_clock"))

    async def retry_job(self, job_id: str, fresh: bool) -> int:
        return int(await self.call("retry_job", job_id, "1" if fresh else ""))

    async def retry_jobs(self, state: str, until_ms: int, most: int, fresh: bool) -> int:
        return int(await self.call("retry_jobs", state, until_ms, most, "1" if fresh else ""))

    async def promote_jobs(self, most: int, *job_ids: str) -> int:
        return int(await self.call("promote_jobs", most, *job_ids))

    async def change_delay(self, job_id: str, delay: str) -> int:
        return int(await self.call("change_delay", job_id, delay))

    async def change_priority(self, job_id: str, priority: int, first: bool) -> int:
        return int(await self.call("change_priority", job_id, priority, "1" if first else ""))

    async def update_data(self, job_id: str, data: str) -> int:
        return int(await self.call("update_data", job_id, data))

    async def clean_jobs(self, state: str, before_ms: int, most: int, skip: int, quiet: bool) -> tuple[list[str], int]:
        ids, kept = await self.call("clean_jobs", state, before_ms, most, skip, "1" if quiet else "")
        return [text(job_id) for job_id in ids], int(kept)

    async def obliterate_queue(self, most: int, force: bool) -> int:
        return int(await self.call("obliterate_queue", most, "1" if force else ""))

    async def upsert_schedule(
        self, schedule: str, name: str, data: str, template: str, opts: str, next_ms: int | None, rule: str
    ) -> str:
        next_due = "" if next_ms is None else next_ms
        return text(await self.call("upsert_schedule", schedule, name, data, template, opts, next_due, rule))

    async def continue_schedule(self, schedule: str, job_id: str, next_ms: int | None, opts: str) -> str:
        return text(await self.call("continue_schedule", schedule, job_id, "" if next_ms is None else next_ms, opts))

    async def remove_schedule(self, schedule: str) -> bool:
        return bool(await self.call("remove_schedule", schedule))
