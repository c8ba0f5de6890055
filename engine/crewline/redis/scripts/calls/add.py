"""Typed calls of the scripts in ``add``: what makes jobs."""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from typing import Any

from redis.exceptions import NoScriptError

from crewline.redis.scripts.calls.caller import Caller, bounds, parts
from crewline.redis.scripts.values import MOST_DEDUPLICATED, MOST_OF_FLOW, Added
from crewline.wire.options import KEEP_COMPLETED, Encoded, Keep, Shape
from crewline.wire.text import text


class AddCalls(Caller):
    """The calls in ``add``: what makes jobs."""

    async def add_jobs(self, jobs: Sequence[Encoded]) -> Added:
        return _added(await self.call("add_jobs", *_shaped(jobs)), len(jobs))

    async def add_in_turn(self, batches: Iterable[Sequence[Encoded]]) -> AsyncGenerator[Added]:
        """As `add_jobs` for each batch, in their order; the next one is sent before the last is answered."""
        rest = itertools.chain.from_iterable(map(_in_bounds, batches))
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

    async def add_flow(self, jobs: Sequence[tuple[str, Encoded]]) -> list[str]:
        """Adds a tree: base of its queue and the job itself, parents before their children.

        More than 100 jobs go in several calls. None of them runs, and no parent goes on, before all are there.
        """
        ids: list[str] = []
        root_base, root = jobs[0]
        hold = f"{root_base}{root.job_id}:adding" if len(jobs) > MOST_OF_FLOW else ""
        for part in parts(jobs, MOST_OF_FLOW):
            sent = [(base, each.job_id, each.shape.name, each.data, *each.shape[1:]) for base, each in part]
            added = await self.call("add_flow", hold, *itertools.chain.from_iterable(sent))
            ids += [text(job_id) for job_id in added]
        if hold:
            leaves = [(base, each.job_id, '"children":true' not in each.shape.extra) for base, each in jobs]
            for part_to_go in parts(leaves, MOST_OF_FLOW):
                await self.release_flow(hold, part_to_go)
        return ids

    async def release_flow(self, hold: str, jobs: Sequence[tuple[str, str, bool]]) -> int:
        """Lets jobs of a tree run: base, id, and whether it is a leaf."""
        sent = [(base, job_id, "1" if leaf else "") for base, job_id, leaf in jobs]
        return int(await self.call("release_flow", hold, *itertools.chain.from_iterable(sent)))

    async def upsert_schedule(
        self, schedule: str, name: str, data: str, template: str, opts: str, next_ms: int | None, rule: str
    ) -> str:
        next_due = "" if next_ms is None else next_ms
        return text(await self.call("upsert_schedule", schedule, name, data, template, opts, next_due, rule))

    async def continue_schedule(self, schedule: str, job_id: str, next_ms: int | None, opts: str) -> str:
        return text(await self.call("continue_schedule", schedule, job_id, "" if next_ms is None else next_ms, opts))

    async def remove_schedule(self, schedule: str) -> bool:
        return bool(await self.call("remove_schedule", schedule))

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
        return int(await self.call("replay_dead_letter", *job, *bounds(keep)))


_ALL_ADDED: frozenset[int] = frozenset()


def _added(reply: list[Any], count: int) -> Added:
    left_out = frozenset(int(place) - 1 for place in reply[count:]) if len(reply) > count else _ALL_ADDED
    return Added([text(job_id) for job_id in reply[:count]], left_out)


def _in_bounds(batch: Sequence[Encoded]) -> Iterator[Sequence[Encoded]]:
    deduplicated = any('"de":' in each.shape.extra for each in batch)
    return parts(batch, MOST_DEDUPLICATED if deduplicated else len(batch) or 1)


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
