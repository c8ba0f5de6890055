"""Child processes: what a job gets there, what a child's end does, and that no job gets another one's result."""

from __future__ import annotations

import asyncio
import importlib
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from crewline import HandlerNotFound, InvalidPayload, JobFailed, LeaseLost, Queue, Reject, Retry
from crewline.worker.handlers.targets import Target, Targets
from crewline.worker.processes.answers import ChildDied, ChildFailed, ChildUnavailable
from crewline.worker.processes.children import Children
from crewline.worker.processes.messages import HEADER, Answer, Where
from crewline.worker.processes.specs import importable

from tests.redis import process_handlers
from tests.redis.processes import THREAD, WALK, WHO, WORK, children, runs, stored, told

__all__ = ["children"]


@pytest.mark.parametrize(("do", "said"), [("extend", "seconds 'x'"), ("log", "WRONGTYPE")])
async def test_a_call_that_fails_in_mid_handler_never_gives_the_next_job_this_ones_result(
    queue: Queue, start_worker: Any, do: str, said: str
) -> None:
    await queue.redis.set("bull:emails:1:logs", "no list", ex=60)
    await start_worker(process_handlers.work, execution="process", concurrency=1)
    first = await queue.add("n", {"do": do}, attempts=1)
    with pytest.raises(JobFailed, match=said):
        await first.result(timeout=30)
    for _ in range(2):
        job = await queue.add("n", WHO, attempts=1)
        assert (await job.result(timeout=30))["of"] == job.id


async def test_two_jobs_in_a_row_share_a_child_and_its_connection(queue: Queue, start_worker: Any) -> None:
    await start_worker(process_handlers.work, execution="process", concurrency=1)
    pids = [await (await queue.add("n", {"do": "pid"})).result(timeout=30) for _ in range(3)]
    assert len(set(pids)) == 1 and pids[0] != os.getpid()


async def test_a_handler_in_a_process_has_a_real_job(queue: Queue, children: Children) -> None:
    await queue.redis.hset("bull:emails:1:processed", "bull:emails:9", '{"a":1}')
    job = await stored(queue, {"do": "look"})
    await job.log("before")
    returned = await children.run(job, WORK, timeout=None)
    assert returned.value == {
        "state": "waiting", "children": {"bull:emails:9": {"a": 1}}, "logs": ["before"], "name": "n"
    }  # fmt: skip


async def test_what_a_hook_changed_in_a_job_reaches_the_child(queue: Queue, children: Children) -> None:
    job = await stored(queue, {"secret": "?"})
    job.data = {"open": True}
    assert (await children.run(job, WORK, timeout=None)).value == {"open": True}
    job.data = {"file": sys.stdout}
    with pytest.raises(InvalidPayload, match=f"job {job.id} can't be sent to a process"):
        await children.run(job, WORK, timeout=None)


async def test_an_async_handler_runs_alone_in_a_child_with_all_that_a_job_can(queue: Queue, children: Children) -> None:
    await queue.redis.hset("bull:emails:1:processed", "bull:emails:9", "[2]")
    job = await stored(queue, {})
    value = (await children.run(job, WALK, timeout=30, alone=True)).value
    assert value["children"] == {"bull:emails:9": [2]} and value["state"] == "waiting" and value["pid"] != os.getpid()
    after = await queue.get_job(job.id)
    assert after is not None and after.progress_value == {"of": job.id} and await after.logs() == ["alone"]


@pytest.mark.parametrize("target", [WORK, THREAD], ids=lambda target: target.execution)
async def test_a_run_alone_has_a_child_of_its_own_that_ends_with_it(
    queue: Queue, children: Children, until: Any, target: Target
) -> None:
    job = await stored(queue, WHO)
    kept = (await children.run(job, target, timeout=None)).value["pid"]
    alone = (await children.run(job, target, timeout=None, alone=True)).value["pid"]
    assert alone != kept
    await until(lambda: not runs(alone), 30)
    assert (await children.run(job, target, timeout=None)).value["pid"] == kept


async def test_the_lease_token_fences_what_a_child_writes(queue: Queue, children: Children, until: Any) -> None:
    job = await stored(queue, {"do": "fenced"})
    job._token = "mine"
    await queue.redis.set(f"bull:emails:{job.id}:lock", "mine", ex=60)
    running = asyncio.create_task(children.run(job, WORK, timeout=60))
    await told(queue, job, until)
    await queue.redis.set(f"bull:emails:{job.id}:lock", "another's", ex=60)
    with pytest.raises(LeaseLost, match="another worker runs it now"):
        await running


async def test_errors_come_as_the_handler_raised_them_and_the_child_lives_on(queue: Queue, children: Children) -> None:
    pid = (await children.run(await stored(queue, WHO), WORK, timeout=None)).value["pid"]
    for do, kind, said in (
        ("reject", Reject, "not this one"),
        ("retry", Retry, "again"),
        ("raise", ChildFailed, "in a child"),
        ("exit", ChildFailed, r"the handler called sys.exit\(3\)"),
        ("interrupt", ChildFailed, "the handler raised KeyboardInterrupt"),
        ("unspeakable", ChildFailed, "^Unspeakable$"),
        ("untellable", ChildFailed, "^the reason"),
        ("another's lease", ChildFailed, "^another's$"),
        ("lambda", Reject, "the handler's result is not strict JSON"),
    ):
        with pytest.raises(kind, match=said) as caught:
            await children.run(await stored(queue, {"do": do}), WORK, timeout=None)
        if do == "retry":
            assert caught.value.delay == 0.05
        if do == "raise":
            assert "ValueError: in a child" in caught.value.trace
    assert (await children.run(await stored(queue, WHO), WORK, timeout=None)).value["pid"] == pid


@pytest.mark.parametrize(
    ("do", "said"), [("exit", r"called sys.exit\(3\)"), ("cancelled", "awaited something that was cancelled")]
)
async def test_an_async_handler_that_ends_itself_in_a_child_fails(
    queue: Queue, children: Children, do: str, said: str
) -> None:
    with pytest.raises(ChildFailed, match=said):
        await children.run(await stored(queue, {"do": do}), WALK, timeout=None, alone=True)


async def test_a_child_past_its_time_is_killed_and_its_answer_is_nobodys(queue: Queue, children: Children) -> None:
    pid = (await children.run(await stored(queue, WHO), WORK, timeout=None)).value["pid"]
    with pytest.raises(TimeoutError, match=r"timed out after 0\.2 s: its process was killed"):
        await children.run(await stored(queue, {"do": "in C"}), WORK, timeout=0.2)
    assert not runs(pid)
    following = await stored(queue, WHO)
    assert (await children.run(following, WORK, timeout=30)).value["of"] == following.id


async def test_a_time_that_is_over_before_a_child_has_begun_is_what_the_attempt_fails_with(
    queue: Queue, children: Children, caplog: pytest.LogCaptureFixture
) -> None:
    job = await stored(queue, {"do": "pid"})
    # a hundred times what a line holds at once: no child can have it by then
    job.data["large"] = "x" * 20_000_000
    with pytest.raises(TimeoutError, match="timed out after 1e-06 s: its process had not begun with it"):
        await children.run(job, WORK, timeout=1e-6)
    assert "a process had not begun with it after 1e-06 s: another runs it" in caplog.text
    assert "broke off" not in caplog.text


@pytest.mark.parametrize(
    "encoded",
    [pickle.dumps(Answer("other", "", "done", "1")), b"no pickle", pickle.dumps(1)],
    ids=["another's", "garbage", "no answer"],
)
async def test_an_answer_that_is_not_this_runs_ends_the_child(queue: Queue, children: Children, encoded: bytes) -> None:
    pid = (await children.run(await stored(queue, WHO), WORK, timeout=None)).value["pid"]
    job = await stored(queue, {"do": "forge", "hex": (HEADER.pack(len(encoded)) + encoded).hex()})
    with pytest.raises(ChildDied, match="broke off its exchange with the worker: it was killed"):
        await asyncio.wait_for(children.run(job, WORK, timeout=None), 60)
    assert not runs(pid)
    following = await stored(queue, WHO)
    assert (await children.run(following, WORK, timeout=None)).value["of"] == following.id


@pytest.fixture
def changing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A handler's module, and what a child finds where it was."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "changing_handlers.py"
    file.write_text("def handle(job): return 1\n")
    target = Targets(importlib.import_module("changing_handlers").handle, "process").all()[0]
    yield file, target
    del sys.modules["changing_handlers"]


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("", HandlerNotFound, "has no 'handle'"),
        ("import no_such_module", HandlerNotFound, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(2)", HandlerNotFound, r"its module ends its program, by sys.exit\(2\)"),
        ("import os; os._exit(9)", ChildUnavailable, "exited with code 9 before it was ready"),
        ("import time; time.sleep(600)", ChildUnavailable, "was not ready within 3 s: it was killed"),
    ],
)
async def test_a_child_that_can_not_load_its_handler_says_why(
    queue: Queue, redis_url: str, changing: Any, source: str, kind: type[Exception], said: str
) -> None:
    file, target = changing
    file.write_text(source)
    children = Children(Where(redis_url, "bull", "emails", 5.0), size=2, start_seconds=3 if "sleep" in source else 60)
    try:
        with pytest.raises(kind, match=said):
            await children.run(await stored(queue, WHO), target, timeout=None)
    finally:
        children.close()
        assert await children.wait_closed()


def test_only_what_a_child_would_find_is_importable() -> None:
    assert importable(process_handlers.work) and importable(process_handlers.walk)
    assert not importable(lambda job: None)

    async def inner(job: Any) -> None: ...

    assert not importable(inner)
