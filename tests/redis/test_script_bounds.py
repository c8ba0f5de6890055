"""No script holds Redis up for more than 5 ms, however much there is: its work at its largest inputs is counted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from crewline import Queue
from crewline.redis.scripts import source
from crewline.redis.scripts.calls import add, parts

from bench.inputs import EXCEPTIONS, SCENARIOS
from tests.redis.script_work import Work, count_work, work_of
from tests.redis_server import RedisServer
from tests.unit.engine.test_scripts import NAMES

MOST_MS = 5.0

#: A bound that is loosened: what stands in its place, and the scenario that shows it.
LOOSENED = {
    "MOST_FREED = 32000000": ("MOST_FREED = 1e12", "clean_jobs: 200 that completed, of 1 MiB"),
    "MOST_READ = 100000": ("MOST_READ = 1e12", "sweep_jobs: 200 with options of 100 kB"),
    "MOST_READ = 200000": ("MOST_READ = 1e12", "finish_and_fetch: 25 of 1 MiB fetched"),
    "local ids, left = {}, 100000": ("local ids, left = {}, 1e12", "beat: 1,000 running jobs, all to be cancelled"),
    "nil, nil, 100000": ("nil, nil, 1e12", "extend_leases: 250 that ran out, in the middle of 100,000 active"),
}


@pytest_asyncio.fixture
async def crowded(redis_server: RedisServer) -> AsyncIterator[Queue]:
    """A queue for a scenario, alone in its Redis."""
    async with Queue("bench", redis=redis_server.url) as queue:
        await queue.redis.flushall()
        yield queue
        await queue.redis.flushall()


def scripts_of(name: str) -> set[str]:
    """The scripts that a scenario is for, by its name."""
    return {script.strip() for script in name.partition(":")[0].split(",")}


async def longest(queue: Queue, name: str, monkeypatch: pytest.MonkeyPatch, *change: str) -> Work:
    act = await SCENARIOS[name](queue)
    count_work(monkeypatch, *change)
    works = await work_of(queue, act)
    assert {work.script for work in works} >= scripts_of(name)
    return max(works, key=lambda work: work.estimated_ms)


@pytest.mark.parametrize("name", [name for name in SCENARIOS if name not in EXCEPTIONS])
async def test_no_call_of_a_script_holds_redis_up_for_long(
    name: str, crowded: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = await longest(crowded, name, monkeypatch)
    assert work.estimated_ms <= MOST_MS, work


def test_the_largest_inputs_of_every_script_are_known() -> None:
    assert set.union(*map(scripts_of, SCENARIOS.keys() - EXCEPTIONS)) == set(NAMES)


@pytest.mark.parametrize("bound", LOOSENED)
async def test_a_bound_of_a_script_that_is_loosened_is_seen(
    bound: str, crowded: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose, name = LOOSENED[bound]
    (script,) = scripts_of(name)
    assert bound in source(script)
    work = await longest(crowded, name, monkeypatch, bound, loose)
    assert work.estimated_ms > MOST_MS, work


@pytest.mark.parametrize(
    ("module", "bound", "name"),
    [
        (parts, "MOST_BYTES", "add_jobs: 200 of 20 kB"),
        (add, "MOST_OF_FLOW", "add_flow, release_flow: a tree of 2,000"),
        (add, "MOST_JOBS", "add_jobs: 2,000"),
    ],
    ids=["bytes", "jobs of a flow", "jobs"],
)
async def test_a_bound_of_a_call_that_is_loosened_is_seen(
    module: object, bound: str, name: str, crowded: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, bound, 1 << 40)
    work = await longest(crowded, name, monkeypatch)
    assert work.estimated_ms > MOST_MS, work
