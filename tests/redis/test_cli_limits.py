"""What holds over all workers of a queue is shown, set and cleared on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from crewline import Job, Limits, Queue
from crewline.queue.observing import BY_HAND

from tests.redis.test_cli import _run
from tests.redis.test_cli import crewline as crewline


async def test_limits_are_set_shown_and_cleared(crewline: Any, queue: Queue) -> None:
    await queue.add("n", 1)
    none = "limits of emails, over all workers\n at once: no bound\n rate:    no bound\n"
    assert await _run(crewline, "limits") == (0, none, "")
    code, out, _ = await _run(crewline, "limits", "--concurrency", "5", "--rate", "1000/60")
    assert (code, out) == (0, none.replace("no bound", "5 jobs", 1).replace("no bound", "1,000 jobs in 60 s"))
    assert await queue.limits() == Limits(5, (1000, 60.0), 0, 0.0)
    await _run(crewline, "limits", "--concurrency", "none")
    assert await queue.limits() == Limits(None, (1000, 60.0), 0, 0.0), "the other one stays"
    assert await _run(crewline, "limits", "--clear") == (0, none, "")
    assert await queue.limits() == Limits(None, None, 0, 0.0)


async def test_what_keeps_jobs_waiting_is_told_and_cleared_jobs_run_at_once(
    crewline: Any, queue: Queue, start_worker: Any, until: Any
) -> None:
    async def handle(job: Job) -> None: ...

    async def completed(count: int) -> bool:
        return (await queue.metrics()).completed == count

    await queue.set_global_rate(2, 600)
    await queue.add_bulk([("n", n) for n in range(4)])
    await start_worker(handle)
    await until(lambda: completed(2))
    code, out, _ = await _run(crewline, "limits", "--json")
    told = json.loads(out)
    assert 500 < told.pop("holds_seconds") <= 600
    assert (code, told) == (0, {"queue": "emails", "concurrency": None, "rate": [2, 600.0], "started": 2})
    assert " nothing starts for " in (await _run(crewline, "limits"))[1]
    await _run(crewline, "limits", "--clear")
    await until(lambda: completed(4))


async def test_a_halt_that_a_client_has_set_by_hand_is_cleared_too(
    crewline: Any, queue: Queue, start_worker: Any, until: Any
) -> None:
    async def handle(job: Job) -> str:
        return "done"

    await queue.redis.set(queue.keys.limiter, BY_HAND, px=600_000)
    job = await queue.add("n", 1)
    await start_worker(handle)
    assert (await queue.limits()).holds_seconds > 500
    await _run(crewline, "limits", "--clear")
    assert await job.result(timeout=20) == "done"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "100"], "'100' can't be used: say jobs/seconds, as 100/1 or 1000/60; or none"),
        (["--rate", "0/1"], "must be (jobs, seconds), both more than 0"),
        (["--concurrency", "0"], "'0' can't be used: say how many jobs, 1 or more; or none"),
        (["--clear", "--rate", "1/1"], "--clear leaves no bounds"),
    ],
)
async def test_what_is_no_limit_is_wrong_usage(crewline: Any, arguments: list[str], said: str) -> None:
    code, _, err = await _run(crewline, "limits", *arguments)
    assert code == 2 and said in err
