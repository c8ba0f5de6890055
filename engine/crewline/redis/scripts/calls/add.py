"""Typed calls of the scripts in ``add``: what makes jobs."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Any

from redis.exceptions import NoScriptError

from crewline.redis.scripts.calls.caller import Caller, bounds
from crewline.redis.scripts.calls.parts import places
from crewline.redis.scripts.values import MOST_DEDUPLICATED, MOST_JOBS, MOST_OF_FLOW, Added
from crewline.wire.options import Encoded, Shape
from crewline.wire.retention import KEEP_COMPLETED, Keep
from crewline.wire.text import text


class AddCalls(Caller):
    """The calls in ``add``: what makes jobs."""

    async def add_jobs(self, jobs: Sequence[Encoded]) -> Added:
        return _added(await self.call("add_jobs", *_shaped(jobs)), len(jobs))

    async def add_in_turn(self, jobs: Sequence[Encoded]) -> AsyncGenerator[Added]:
        """Many jobs, a bounded part a call, in their order; the next one is sent before the last is answered."""
        rest = _in_bounds(jobs)
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

    async def add_flow(self, jobs: Sequence[tuple[str, Encoded]]) -> Added | None:
        """Adds a tree: base of its queue and the job itself, parents before their children, all in the root's slot.

        One that is too large for one call goes in several. None of its jobs runs, and no parent goes on, before all are
        there.

        Returns as add_jobs does, with '' for a job below one that was not added; None if the tree was let go or given
        up before all of it was there.
        """
        calls = [jobs[part] for part in places([each for _, each in jobs], MOST_OF_FLOW)]
        root_id = jobs[0][1].job_id if len(calls) > 1 else ""
        ids: list[str] = []
        left_out: set[int] = set()
        for part in calls:
            sent = [(base, each.job_id, each.shape.name, each.data, *each.shape[1:]) for base, each in part]
            reply = await self.call("add_flow", root_id, "" if ids else "1", *itertools.chain.from_iterable(sent))
            if not reply:
                return None
            added = _added(reply, len(part))
            left_out.update(len(ids) + place for place in added.left_out)
            ids += added.ids
        if root_id:
            left = await self.release_flow(root_id)
            if left < 0:
                return None
            while left > 0:
                left = await self.release_flow(root_id)
        return Added(ids, frozenset(left_out))

    async def release_flow(self, root_id: str) -> int:
        """Lets some jobs of a tree run that is all there; how many are left, -1 if it is not held any more."""
        return int(await self.call("release_flow", root_id))

    async def give_up_flow(self, root_id: str, before_ms: int) -> tuple[int, int]:
        """Removes some jobs of a tree that is not all there; how many, and what else there is to do."""
        gone, more, *refused = await self.call("give_up_flow", root_id, before_ms)
        self.tell_refused(refused)
        return int(gone), int(more)

    async def upsert_schedule(
        self, schedule: str, name: str, data: str, template: str, opts: str, next_ms: int | None, rule: str
    ) -> str:
        next_due = "" if next_ms is None else next_ms
        return text(await self.call("upsert_schedule", schedule, name, data, template, opts, next_due, rule))

    async def continue_schedule(self, schedule: str, job_id: str, next_ms: int | None, opts: str) -> str:
        return text(await self.call("continue_schedule", schedule, job_id, "" if next_ms is None else next_ms, opts))

    async def remove_schedule(self, schedule: str) -> bool:
        return bool(await self.code_of("remove_schedule", schedule))

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
        return await self.code_of("replay_dead_letter", *job, *bounds(keep))


_ALL_ADDED: frozenset[int] = frozenset()


def _added(reply: list[Any], count: int) -> Added:
    left_out = frozenset(int(place) - 1 for place in reply[count:]) if len(reply) > count else _ALL_ADDED
    return Added([text(job_id) for job_id in reply[:count]], left_out)


def _in_bounds(jobs: Sequence[Encoded]) -> Iterator[Sequence[Encoded]]:
    deduplicated = any('"de":' in each.shape.extra for each in jobs)
    return (jobs[part] for part in places(jobs, MOST_DEDUPLICATED if deduplicated else MOST_JOBS))


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
