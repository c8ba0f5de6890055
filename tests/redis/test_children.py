"""Child processes: what a job gets there, what a child's end does, and that no job gets another one's result."""

from __future__ import annotations

import asyncio
import importlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvloop
from crewline import HandlerNotFound, InvalidPayload, Job, JobFailed, LeaseLost, Queue, Reject, Retry, Worker
from crewline.worker.handlers.targets import Target, Targets
from crewline.worker.runs.answers import ChildDied, ChildFailed, ChildUnavailable
from crewline.worker.runs.child import HEADER, Answer, Where
from crewline.worker.runs.children import Children, importable
from crewline.worker.runs.copies import Copy
from crewline.worker.runs.link import Link

from tests.redis import process_handlers

WORK = Targets(process_handlers.work, "process").all()[0]
THREAD = Targets(process_handlers.work, None).all()[0]
WALK = Targets(process_handlers.walk, None).all()[0]

#: A job's data that asks which job it is and where it runs.
WHO = {"do": "who"}

#: A worker as a program of its own, which can be killed.
WORKER = """
import asyncio, sys
from crewline import Worker
from tests.redis import process_handlers

asyncio.run(Worker("emails", process_handlers.work, redis=sys.argv[1], execution="process").run())
"""


@pytest_asyncio.fixture
async def children(redis_url: str) -> AsyncIterator[Children]:
    opened = Children(Where(redis_url, "bull", "emails", 5.0), size=2)
    yield opened
    opened.close()
    assert await opened.wait_closed()


async def stored(queue: Queue, data: Any) -> Job:
    job = await queue.get_job((await queue.add("n", data)).id)
    assert job is not None
    return job


async def told(queue: Queue, job: Job, until: Any, key: str = "pid") -> int:
    """A process id that the job's handler tells by its progress."""

    async def look() -> int:
        now = await queue.get_job(job.id)
        assert now is not None
        return int(now.progress_value[key]) if now.progress_value else 0

    return int(await until(look, 30))


def runs(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


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


async def test_a_child_that_dies_between_two_jobs_costs_none(queue: Queue, children: Children, until: Any) -> None:
    pid = (await children.run(await stored(queue, WHO), WORK, timeout=None)).value["pid"]
    os.kill(pid, signal.SIGKILL)
    await until(lambda: children._idle[0].gone)
    assert (await children.run(await stored(queue, WHO), WORK, timeout=None)).value["pid"] != pid


@pytest.mark.parametrize("alone", [False, True])
async def test_a_child_that_dies_before_it_begins_with_a_job_costs_no_attempt(
    queue: Queue, children: Children, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    killed = dying(monkeypatch, 2)
    job = await stored(queue, WHO)
    assert (await children.run(job, WORK, timeout=None, alone=alone)).value["of"] == job.id
    assert len(killed) == 2


async def test_a_job_is_not_given_to_ever_more_children_that_die(
    queue: Queue, children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = dying(monkeypatch, 10)
    with pytest.raises(ChildUnavailable, match=r"3 processes, .* ended before they began: .* was killed by SIGKILL"):
        await children.run(await stored(queue, WHO), WORK, timeout=None)
    assert len(killed) == 3


def dying(monkeypatch: pytest.MonkeyPatch, times: int) -> list[Link]:
    """So many children die in the moment in which they are given a job; those that have."""
    killed: list[Link] = []

    def killing(name: str) -> None:
        take = getattr(Children, name)

        async def take_and_kill(self: Children, spec: str) -> Link:
            link: Link = await take(self, spec)
            if len(killed) < times:
                assert link.process
                killed.append(link)
                link.process.kill()
                if isinstance(link.process, Copy):
                    # it can be told only through its template
                    await link.ended(10)
            return link

        monkeypatch.setattr(Children, name, take_and_kill)

    killing("_take")
    killing("_take_alone")
    return killed


async def test_children_that_a_smaller_worker_has_no_use_for_end(queue: Queue, start_worker: Any, until: Any) -> None:
    worker = await start_worker(process_handlers.work, execution="process", concurrency=4)
    slow = [await queue.add("n", {"do": "sleep"}) for _ in range(2)]
    pids = {await told(queue, job, until) for job in slow}
    quick = [await queue.add("n", WHO) for _ in range(2)]
    pids |= {(await job.result(timeout=30))["pid"] for job in quick}
    # two that run a job; how many others there are depends on how the quick ones came
    worker.concurrency = 3
    await until(lambda: len(living(worker)) == 3)
    worker.concurrency = 1
    await until(lambda: len(living(worker)) == 2)
    for job in slow:
        await job.cancel()
    await until(lambda: worker.running == 0)
    assert (await (await queue.add("n", WHO)).result(timeout=30))["pid"] not in pids
    assert len(living(worker)) == 1


def living(worker: Worker) -> list[int]:
    links = worker._executor.children._links
    return [each.process.pid for each in links if isinstance(each.process, subprocess.Popen) and runs(each.process.pid)]


def test_children_work_on_uvloop_too(redis_url: str) -> None:
    async def go() -> list[str]:
        children = Children(Where(redis_url, "bull", "emails", 5.0), size=2)
        async with Queue("emails", redis=redis_url) as queue:
            told = []
            for do in ("who", "die", "exit"):
                try:
                    told.append((await children.run(await stored(queue, {"do": do}), WORK, timeout=None)).value["of"])
                except (ChildDied, ChildFailed) as error:
                    told.append(str(error))
        children.close()
        assert await children.wait_closed()
        return told

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(go()) == ["1", "the handler's process exited with code 7", "the handler called sys.exit(3)"]


async def test_a_child_that_is_killed_says_by_what(queue: Queue, children: Children, until: Any) -> None:
    job = await stored(queue, {"do": "sleep"})
    running = asyncio.create_task(children.run(job, WORK, timeout=60))
    os.kill(await told(queue, job, until), signal.SIGKILL)
    with pytest.raises(ChildDied, match=r"process was killed by SIGKILL \(out of memory, perhaps\)") as caught:
        await running
    assert caught.value.code == -signal.SIGKILL


async def test_a_child_that_exits_says_with_what_code(queue: Queue, children: Children) -> None:
    with pytest.raises(ChildDied, match="process exited with code 7"):
        await children.run(await stored(queue, {"do": "die"}), WORK, timeout=None)


async def test_a_childs_end_is_seen_though_a_process_it_forked_lives_on(
    queue: Queue, children: Children, until: Any
) -> None:
    job = await stored(queue, {"do": "leave a copy"})
    try:
        with pytest.raises(ChildDied, match="process exited with code 5"):
            await asyncio.wait_for(children.run(job, WORK, timeout=None), 60)
    finally:
        os.kill(await told(queue, job, until, "copy"), signal.SIGKILL)


async def test_a_copy_that_a_handler_forked_answers_nothing(queue: Queue, children: Children) -> None:
    assert (await children.run(await stored(queue, {"do": "fork"}), WORK, timeout=None)).value == "the handler's own"
    following = await stored(queue, WHO)
    assert (await children.run(following, WORK, timeout=None)).value["of"] == following.id


async def test_signals_to_the_whole_group_are_the_workers_to_handle(
    queue: Queue, children: Children, until: Any
) -> None:
    job = await stored(queue, {"do": "fenced"})
    running = asyncio.create_task(children.run(job, WORK, timeout=60))
    pid = await told(queue, job, until)
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    await queue.remove(job.id)
    with pytest.raises(ChildFailed, match="it was removed"):
        await running


async def test_a_cancelled_run_ends_once_its_child_has_ended(queue: Queue, children: Children, until: Any) -> None:
    job = await stored(queue, {"do": "in C"})
    running = asyncio.create_task(children.run(job, WORK, timeout=None))
    pid = await told(queue, job, until)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not runs(pid)


async def test_a_run_that_is_cancelled_while_its_child_starts_leaves_none(queue: Queue, children: Children) -> None:
    job = await stored(queue, WHO)
    for turns in range(6):
        running = asyncio.create_task(children.run(job, WORK, timeout=None))
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert (await children.run(job, WORK, timeout=None)).value["of"] == job.id
    children.close()
    assert await children.wait_closed()
    assert not children_of(os.getpid())


def children_of(pid: int) -> list[int]:
    """The interpreters among a process' children that run ours."""
    listed = " ".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")).split()
    return [int(each) for each in listed if b"runs.child" in Path(f"/proc/{each}/cmdline").read_bytes()]


async def test_closing_kills_a_busy_child_and_an_idle_one(queue: Queue, children: Children, until: Any) -> None:
    first, second = await stored(queue, {"do": "in C"}), await stored(queue, WHO)
    running = asyncio.create_task(children.run(first, WORK, timeout=None))
    busy = await told(queue, first, until)
    idle = (await children.run(second, WORK, timeout=None)).value["pid"]
    children.close()
    with pytest.raises(ChildUnavailable, match="the worker has stopped"):
        await running
    assert await children.wait_closed() and not runs(busy) and not runs(idle)
    with pytest.raises(ChildUnavailable, match="the worker has stopped"):
        await children.run(second, WORK, timeout=None)


async def test_no_child_outlives_a_worker_that_is_killed(queue: Queue, redis_url: str, until: Any) -> None:
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, redis_url)
    try:
        busy = await told(queue, await queue.add("n", {"do": "in C"}), until)
        idle = await (await queue.add("n", {"do": "pid"})).result(timeout=30)
        assert runs(busy) and runs(idle)
    finally:
        worker.kill()
        await worker.wait()
    await until(lambda: not runs(busy) and not runs(idle))


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
        ("raise SystemExit(2)", HandlerNotFound, r"'changing_handlers:handle': its import raised SystemExit\(2\)"),
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
