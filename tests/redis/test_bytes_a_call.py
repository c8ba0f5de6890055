"""What one call carries and brings is bounded in bytes: Redis stands still while it copies them."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import pytest
from crewline import FlowJob, Job, Queue, Reject
from crewline.queue.dead_letters import DeadLetters
from crewline.redis.scripts import MOST_BYTES, Fetched, Result, Scripts


class Sent(NamedTuple):
    """A script's call and the bytes of its arguments."""

    script: str
    size: int


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Sent]:
    """All calls of scripts, as they leave."""
    calls: list[Sent] = []
    command = Scripts.command

    def noted(scripts: Scripts, name: str, *args: Any) -> tuple[Any, ...]:
        calls.append(Sent(name, sum(len(str(each).encode()) for each in args)))
        return command(scripts, name, *args)

    monkeypatch.setattr(Scripts, "command", noted)
    return calls


async def test_jobs_added_in_bulk_go_in_calls_of_so_many_bytes(queue: Queue, sent: list[Sent]) -> None:
    jobs = await queue.add_bulk(("n", "x" * 30_000) for _ in range(50))
    assert [job.id for job in jobs] == [str(n) for n in range(1, 51)]
    assert await queue.redis.llen(queue.keys.wait) == 50
    assert all(call.size <= 1.05 * MOST_BYTES for call in sent)
    # and no more calls than that takes
    assert len(sent) <= 50 * 30_000 / MOST_BYTES * 1.3


async def test_a_job_that_is_larger_than_a_call_may_be_goes_by_itself(queue: Queue, sent: list[Sent]) -> None:
    await queue.add_bulk([("n", "x"), ("n", "x" * MOST_BYTES), ("n", "x"), ("n", "x")])
    assert [call.size > MOST_BYTES for call in sent] == [False, True, False]


async def test_bytes_are_counted_and_not_characters(queue: Queue, sent: list[Sent]) -> None:
    await queue.add_bulk(("n", "€" * 20_000) for _ in range(10))
    assert all(call.size <= 1.05 * MOST_BYTES for call in sent)


async def test_a_flow_with_large_data_is_added_in_parts_of_so_many_bytes(queue: Queue, sent: list[Sent]) -> None:
    children = [FlowJob("leaf", "x" * 50_000) for _ in range(10)]
    node = await queue.add_flow(FlowJob("root", "x" * 50_000, children=children))
    added = [call.size for call in sent if call.script == "add_flow"]
    assert len(added) > 1 and max(added) <= 1.05 * MOST_BYTES
    assert await queue.redis.scard(queue.keys.job(node.job.id) + ":dependencies") == 10
    assert await queue.redis.llen(queue.keys.wait) == 10


async def test_a_flow_with_large_data_that_is_added_again_is_the_same_flow(queue: Queue) -> None:
    root = FlowJob("root", children=[FlowJob("leaf", "x" * 150_000) for _ in range(2)], options={"job_id": "r"})
    first, again = await queue.add_flow(root), await queue.add_flow(root)
    assert [child.job.id for child in again.children] == [child.job.id for child in first.children]
    assert await queue.redis.llen(queue.keys.wait) == 2


async def test_failures_go_in_calls_of_so_many_bytes_of_the_letters_that_they_write(
    queue: Queue, start_worker: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[list[str]] = []
    call = Scripts.finish_and_fetch

    async def noted(scripts: Scripts, results: list[Result], **options: Any) -> Fetched:
        calls.append([result.outcome for result in results])
        return await call(scripts, results, **options)

    monkeypatch.setattr(Scripts, "finish_and_fetch", noted)
    begun, gate = [], asyncio.Event()

    async def handle(job: Job) -> None:
        begun.append(job.id)
        await gate.wait()
        raise Reject("no")

    await queue.add_bulk(("n", "x" * 40_000) for _ in range(20))
    await start_worker(handle, concurrency=20)
    await until(lambda: len(begun) == 20)
    gate.set()
    letters = DeadLetters(queue)
    await until(lambda: _is(letters.count, 20))
    failed = [outcomes.count("failed") for outcomes in calls if outcomes]
    assert sum(failed) == 20
    assert max(failed) == MOST_BYTES // 80_000


async def _is(count: Any, wanted: int) -> bool:
    return await count() == wanted
