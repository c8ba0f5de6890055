"""A slip in a queue's name is told, with the name that was meant, and makes no queue."""

from __future__ import annotations

from typing import Any

import pytest
from crewline import DeadLetters, Job, Queue

from tests.redis.denying import as_weak
from tests.redis.test_cli import _run
from tests.redis.test_cli import crewline as crewline

COMMANDS = [
    ["metrics"], ["settings"], ["limits"], ["pause"], ["resume"], ["clean", "completed"], ["events"], ["jobs", "list"],
    ["jobs", "show", "1"], ["jobs", "logs", "1"], ["jobs", "retry", "1"], ["jobs", "remove", "1"],
    ["jobs", "cancel", "1"], ["jobs", "promote", "1"], ["dlq", "list"], ["dlq", "show", "1"], ["dlq", "replay", "1"],
    ["dlq", "replay", "--all"],
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
async def test_a_queue_that_is_not_there_is_told_with_the_one_that_was_meant(
    crewline: Any, queue: Queue, command: list[str]
) -> None:
    async with Queue("orders", redis=queue.url) as orders:
        await orders.add("n", 1)
    code, out, err = await _run(crewline, *command, "-q", "oder")
    assert (code, out) == (1, "")
    makes = " --create makes it" if command[0] in ("pause", "events") else ""
    assert err == f"crewline: no queue 'oder' in this Redis (prefix 'bull'); did you mean orders?{makes}\n"
    assert [key async for key in queue.redis.scan_iter(match="bull*:oder:*")] == []


async def test_without_a_similar_name_it_is_said_what_lists_them(crewline: Any, queue: Queue) -> None:
    code, _, err = await _run(crewline, "metrics", "-q", "invoices")
    assert code == 1 and err.endswith(
        "no queue 'invoices' in this Redis (prefix 'bull'); crewline queues lists those there are\n"
    )


async def test_a_new_queue_that_is_meant_may_be_paused(crewline: Any, queue: Queue) -> None:
    assert await _run(crewline, "pause", "-q", "new", "--create") == (0, "paused new\n", "")
    assert await _run(crewline, "resume", "-q", "new") == (0, "resumed new\n", "")


async def test_a_first_job_makes_a_queue_and_a_likely_slip_is_told(crewline: Any, queue: Queue) -> None:
    assert await _run(crewline, "enqueue", "n", "1", "-q", "orders") == (0, "added job 1 to orders\n", "")
    code, out, err = await _run(crewline, "enqueue", "n", "1", "-q", "order")
    assert (code, out) == (0, "added job 1 to order\n")
    assert err == "crewline: queue 'order' is a new one; did you mean orders?\n"
    assert (await _run(crewline, "enqueue", "n", "1", "-q", "order"))[2] == ""


async def test_a_queue_is_there_as_long_as_anything_of_it_is(
    crewline: Any, queue: Queue, start_worker: Any, until: Any
) -> None:
    async def fail(job: Job) -> None:
        raise ValueError("no")

    worker = await start_worker(fail)
    # its worker alone, and where its letters will go
    assert (await _run(crewline, "metrics"))[0] == 0
    assert (await _run(crewline, "jobs", "list", "-q", "emails-dlq"))[0] == 0
    await queue.add("n", 1, attempts=1)
    await until(DeadLetters(queue).count)
    await worker.stop()
    await queue.pause()
    await queue.obliterate()
    code, out, _ = await _run(crewline, "dlq", "list")
    assert code == 0 and "ValueError" not in out and "no" in out


async def test_who_may_not_look_is_not_told_that_there_is_none(crewline: Any, queue: Queue, admin: Any) -> None:
    await queue.add("n", 1)
    admin.execute_command("ACL", "SETUSER", "weak", "-exists")
    assert (await _run(crewline, "metrics", "-r", as_weak(queue.url)))[0] == 0
