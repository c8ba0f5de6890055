"""The command line, run as its user runs it: a process, its output, its exit code."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from crewline import FlowJob, Job, Queue, cli
from typer.testing import CliRunner

HANDLERS = """
import asyncio
async def handle(job):
    if job.data == "fail":
        raise ValueError("as told")
    if job.data == "slow":
        await asyncio.sleep(60)
    return job.data
"""


@pytest.fixture
def crewline(redis_url: str, tmp_path: Path) -> Any:
    (tmp_path / "handlers.py").write_text(HANDLERS)

    async def start(*arguments: str, stdin: str = "") -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "crewline"), *arguments, cwd=tmp_path,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={"CREWLINE_QUEUE": "emails", "CREWLINE_REDIS_URL": redis_url, "PATH": "/usr/bin", "COLUMNS": "160"},
            # tests that a shell runs in the background inherit that Ctrl-C is ignored; a person's terminal has it
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        assert process.stdin
        process.stdin.write(stdin.encode())
        process.stdin.close()
        return process

    return start


async def _run(crewline: Any, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    process = await crewline(*arguments, stdin=stdin)
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, out.decode(), err.decode()


async def test_enqueue_adds_one_job_or_one_a_line(crewline: Any, queue: Queue) -> None:
    code, out, _ = await _run(crewline, "enqueue", "welcome", '{"to": "a"}', "--priority", "3")
    assert (code, out) == (0, "added job 1 to emails\n")
    code, out, _ = await _run(crewline, "enqueue", "bulk", "--json", stdin='{"i": 1}\n\n{"i": 2}\n')
    assert code == 0 and json.loads(out)["ids"] == ["2", "3"]
    job = await queue.get_job("1")
    assert job is not None and job.data == {"to": "a"} and job.priority == 3


async def test_enqueue_refuses_a_bad_line_by_number_and_adds_none(crewline: Any, queue: Queue) -> None:
    code, _, err = await _run(crewline, "enqueue", "bulk", stdin='{"i": 1}\n{"i": NaN}\n')
    assert code == 1 and "line 2 is not strict JSON" in err
    assert (await queue.metrics()).waiting == 0


async def test_metrics_as_a_table_and_as_json(crewline: Any, queue: Queue) -> None:
    await queue.add("n", 1)
    code, out, _ = await _run(crewline, "metrics")
    assert code == 0 and "waiting" in out and "dead" in out
    code, out, _ = await _run(crewline, "metrics", "--json")
    assert code == 0 and json.loads(out)["waiting"] == 1


async def test_a_worker_process_works_drains_on_sigterm_and_exits_with_0(
    crewline: Any, queue: Queue, tmp_path: Path, until: Any
) -> None:
    ready = tmp_path / "ready"
    process = await crewline("worker", "handlers:handle", "--grace-seconds", "0.2", "--ready-file", str(ready))
    await until(ready.exists)
    assert await (await queue.add("n", {"a": 1})).result(timeout=5) == {"a": 1}
    slow = await queue.add("n", "slow")
    await until(lambda: _is(slow, "active"))
    process.send_signal(signal.SIGTERM)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0, err.decode()
    assert not ready.exists()
    assert await slow.state() == "waiting"


async def _is(job: Job, state: str) -> bool:
    return await job.state() == state


async def test_a_job_whose_worker_process_was_killed_is_run_by_another(
    crewline: Any, queue: Queue, until: Any, start_worker: Any
) -> None:
    process = await crewline("worker", "handlers:handle", "--lease-seconds", "1")
    slow = await queue.add("n", "slow", attempts=1)
    await until(lambda: _is(slow, "active"))
    process.kill()
    await process.wait()

    async def finish(job: Job) -> list[int]:
        return [job.attempts_made, job.attempts_started]

    await start_worker(finish, lease_seconds=1)
    assert await slow.result(timeout=15) == [0, 2]


async def test_dead_letters_are_listed_with_reason_and_replayed_once(
    crewline: Any, queue: Queue, start_worker: Any, until: Any
) -> None:
    from crewline import DeadLetters

    async def fail(job: Job) -> None:
        raise ValueError("as told")

    await start_worker(fail)
    await queue.add("n", "fail", attempts=1)
    await until(DeadLetters(queue).count)
    code, out, _ = await _run(crewline, "dlq", "list")
    assert code == 0 and "as told" in out and "1 dead letter of emails, of 1 in emails-dlq" in out
    await queue.pause()
    code, out, _ = await _run(crewline, "dlq", "replay", "1", "--json")
    assert code == 0 and json.loads(out) == {
        "queue": "emails", "replayed": 1, "letters": {"1": "replayed"}, "failed": {}
    }  # fmt: skip
    code, out, _ = await _run(crewline, "dlq", "replay", "1", "--json")
    assert code == 0 and json.loads(out)["replayed"] == 0
    code, out, err = await _run(crewline, "dlq", "replay", "1", "99")
    assert code == 1 and "no dead letter 99" in err
    assert (
        out == "1: replayed before, or its job runs again or is done\nreplayed 0 letters; each is replayed once only\n"
    )


async def test_a_listing_of_dead_letters_says_whose_they_are_and_how_many_wait_where(
    crewline: Any, redis_url: str, start_worker: Any, until: Any
) -> None:
    from crewline import DeadLetters

    async def fail(job: Job) -> None:
        raise ValueError("as told")

    async with (
        Queue("emails", redis=redis_url, dead_letter_queue="graveyard") as emails,
        Queue("other", redis=redis_url, dead_letter_queue="graveyard") as other,
    ):
        await start_worker(fail, "other", dead_letter_queue="graveyard")
        await other.add("n", 1, attempts=1)
        await until(DeadLetters(other).count)
        code, out, _ = await _run(crewline, "dlq", "list", "--dead-letter-queue", "graveyard")
        assert (code, out) == (0, "no dead letters of emails\n")
        await start_worker(fail, dead_letter_queue="graveyard")
        await emails.add("mine", 1, attempts=1)
        await until(DeadLetters(emails).list)
    code, out, _ = await _run(crewline, "dlq", "list", "--dead-letter-queue", "graveyard")
    assert code == 0 and "1 dead letter of emails, of 2 in graveyard" in out
    assert out.count("as told") == 1 and "-q emails --dead-letter-queue graveyard" in out
    code, out, _ = await _run(crewline, "dlq", "list", "--dead-letter-queue", "graveyard", "--json")
    told = json.loads(out)
    assert (told["dead_letter_queue"], told["count"]) == ("graveyard", 2)
    assert [letter["queue"] for letter in told["letters"]] == ["emails"]


async def test_a_handler_that_cant_be_imported_ends_the_worker_with_78_and_says_why(crewline: Any) -> None:
    code, _, err = await _run(crewline, "worker", "handlers:nope")
    assert code == 78
    assert (
        err.strip()
        .splitlines()[-1]
        .startswith("crewline: handler 'handlers:nope' can't be imported: module 'handlers'")
    )


async def test_wrong_usage_is_2_and_an_unreachable_redis_3(crewline: Any) -> None:
    code, _, err = await _run(crewline, "enqueue", "n", "{oops")
    assert code == 2 and "quote it" in err
    code, _, err = await _run(crewline, "metrics", "-r", "redis://user:secret@127.0.0.1:1/0")
    assert code == 3 and "redis://127.0.0.1:1/0" in err and "secret" not in err
    code, _, err = await _run(crewline, "metrics", "-r", "http://x")
    assert code == 2 and "redis://host:6379/0" in err


async def test_jobs_are_listed_shown_logged_and_changed(
    crewline: Any, queue: Queue, start_worker: Any, until: Any
) -> None:
    async def handle(job: Job) -> str:
        if job.data == "fail":
            raise ValueError("as told")
        await job.log("a line")
        return "fine"

    worker = await start_worker(handle)
    await queue.add("good", {"to": "ä"})
    await queue.add("bad", "fail", attempts=1)
    await until(lambda: _counts(queue, completed=1, failed=1))
    await worker.stop()
    code, out, _ = await _run(crewline, "jobs", "list", "failed")
    assert code == 0 and "as told" in out and "bad" in out
    code, out, _ = await _run(crewline, "jobs", "show", "2", "--json")
    told = json.loads(out)
    assert code == 0 and (told["state"], told["failed_reason"], told["attempts_made"]) == ("failed", "as told", 1)
    code, out, _ = await _run(crewline, "jobs", "show", "2")
    assert code == 0 and "ValueError: as told" in out
    code, out, _ = await _run(crewline, "jobs", "logs", "1")
    assert (code, out) == (0, "a line\n")
    code, out, err = await _run(crewline, "jobs", "retry", "2", "9")
    assert code == 1 and "retried 2" in out and "no job 9" in err
    code, out, _ = await _run(crewline, "jobs", "cancel", "2", "--reason", "not needed")
    assert code == 0 and "cancelled 2" in out
    code, out, _ = await _run(crewline, "jobs", "remove", "1", "2")
    assert code == 0 and await queue.redis.zcard(queue.keys.failed) == 0
    code, _, err = await _run(crewline, "jobs", "list", "lost")
    assert code == 2 and "waiting-children" in err


async def test_jobs_are_listed_newest_first_or_as_they_will_run_wherever_they_are(crewline: Any, queue: Queue) -> None:
    await queue.add_bulk(("n", n) for n in range(2))
    await queue.redis.rename(queue.keys.wait, queue.keys.paused)
    await queue.add_bulk([("n", 2), ("n", 3), ("n", 4, {"priority": 2}), ("n", 5, {"priority": 1})])
    await queue.add_bulk([("n", 6, {"delay": 90}), ("n", 7, {"delay": 60})])
    # two of one millisecond come by their ids
    roots = [
        await queue.add_flow(FlowJob("root", n, [FlowJob("leaf", 0, queue="mails")], options={"job_id": f"root-{n}"}))
        for n in (8, 9)
    ]
    listed = {"waiting": [3, 2, 1, 0, 5, 4], "prioritized": [5, 4], "delayed": [7, 6], "waiting-children": [9, 8]}
    for state, data in listed.items():
        code, out, err = await _run(crewline, "jobs", "list", state, "--json")
        assert code == 0 and [job["data"] for job in json.loads(out)] == data, (state, out, err)
    code, out, _ = await _run(crewline, "jobs", "list", "-n", "3", "--json")
    assert [job["data"] for job in json.loads(out)] == [3, 2, 1]
    for root in roots:
        await root.job.remove()


async def _counts(queue: Queue, **wanted: int) -> bool:
    counts = await queue.metrics()
    return all(getattr(counts, name) == count for name, count in wanted.items())


async def test_queues_are_listed_paused_resumed_cleaned_and_watched(crewline: Any, queue: Queue) -> None:
    await queue.add("n", 1)
    await queue.add("n", 1, delay=60)
    code, out, _ = await _run(crewline, "queues", "--json")
    assert code == 0 and json.loads(out)["emails"]["waiting"] == 1
    assert (await _run(crewline, "pause"))[1] == "paused emails\n"
    assert (await _run(crewline, "pause"))[1] == "emails was paused already\n"
    code, out, _ = await _run(crewline, "top", "--once")
    assert code == 0 and "emails (paused)" in out
    assert (await _run(crewline, "resume"))[1] == "resumed emails\n"
    code, out, _ = await _run(crewline, "clean", "delayed", "--json")
    assert code == 0 and json.loads(out)["deleted"] == 1
    code, _, err = await _run(crewline, "clean", "everything")
    assert code == 2 and "'state': 'everything' is unknown: use completed" in err


async def test_settings_tells_what_workers_follow_and_which_of_them_do(
    crewline: Any, queue: Queue, start_worker: Any, until: Any
) -> None:
    async def handle(job: Job) -> None: ...

    async def applied() -> bool:
        return [worker["settings"] for worker in await queue.workers()] == [6]

    worker = await start_worker(handle)
    stored = {"generation": 6, "concurrency": 3, "attempts": "\u001bmany"}
    await queue.redis.set(queue.keys.extra("settings"), json.dumps(stored))
    await until(applied)
    code, out, _ = await _run(crewline, "settings", "--json")
    told = json.loads(out)
    assert code == 0 and told["settings"] == {"generation": 6, "concurrency": 3}
    (follows,) = told["workers"].values()
    refused = "attempts '\\x1bmany' must be an integer of 1 or more; the worker's own stays"
    assert follows == {"generation": 6, "refused": [refused]}
    code, out, _ = await _run(crewline, "settings")
    lines = [line.strip().split(maxsplit=1) for line in out.splitlines() if line.strip()]
    assert code == 0 and lines[:3] == [["setting", "value"], ["generation", "6"], ["concurrency", "3"]]
    assert lines[4][0].startswith(worker.name) and lines[4][1].startswith("generation 6  attempts '")


async def test_top_tells_which_settings_each_worker_has_applied(crewline: Any, queue: Queue, start_worker: Any) -> None:
    async def handle(job: Job) -> None: ...

    await queue.configure(generation=4711, concurrency=3)
    worker = await start_worker(handle)
    await queue.add("n", 1)
    code, out, _ = await _run(crewline, "top", "--once")
    (line,) = [line.split() for line in out.splitlines() if line.strip().startswith(worker.name)]
    assert code == 0 and line[1:5] == ["emails", "0", "3", "4711"]


async def test_top_tells_which_workers_drain(crewline: Any, queue: Queue, start_worker: Any, until: Any) -> None:
    async def handle(job: Job) -> None: ...

    worker = await start_worker(handle, worker_id="pod-1")
    await queue.drain_workers(["pod-1"])

    async def follows() -> bool:
        return bool((await queue.workers())[0]["drain"])

    await until(follows)
    code, out, _ = await _run(crewline, "top", "--once")
    (line,) = [line.split() for line in out.splitlines() if line.strip().startswith(worker.name)]
    assert code == 0 and line[1:5] == ["emails", "draining", "0", "10"]


async def test_events_are_followed_until_ctrl_c(crewline: Any, queue: Queue) -> None:
    await queue.add("before", 1)
    process = await crewline("events", "--after", "0", "--only", "added", "--json")
    seen = [json.loads(await asyncio.wait_for(process.stdout.readline(), 20))]
    await queue.add("after", 1)
    seen.append(json.loads(await asyncio.wait_for(process.stdout.readline(), 20)))
    assert [(event["event"], event["jobId"], event["name"]) for event in seen] == [
        ("added", "1", "before"),
        ("added", "2", "after"),
    ]
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.parametrize("columns", ["80", "120"])
def test_help_teaches_with_an_example_for_each_command_and_cuts_no_name(columns: str) -> None:
    runner = CliRunner(env={"COLUMNS": columns})
    for path, command in _commands(typer.main.get_command(cli.app)):
        if path == "crewline simulate":
            # another package's
            continue
        result = runner.invoke(cli.app, [*path.split()[1:], "--help"], prog_name="crewline")
        assert result.exit_code == 0 and path in result.output and "Example" in result.output, path
        words = re.findall(r"[\w-]+", result.output)
        names = {name for each in command.params for name in [*each.opts, each.envvar] if name}
        assert names - {*words} == set() and "…" not in result.output, (path, names - {*words})


def _commands(command: Any, path: str = "crewline") -> Iterator[tuple[str, Any]]:
    for name, each in getattr(command, "commands", {}).items():
        yield from _commands(each, f"{path} {name}")
    if not hasattr(command, "commands"):
        yield path, command


def test_every_command_prints_json_but_the_worker() -> None:
    without = {
        path
        for path, command in _commands(typer.main.get_command(cli.app))
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    # what `simulate` is told is for another package to read
    assert without == {"crewline worker", "crewline simulate"}


async def test_whatever_changes_something_tells_programs_of_it(crewline: Any, queue: Queue) -> None:
    jobs = await queue.add_bulk(("n", n, {"delay": 600}) for n in range(3))
    ids = [job.id for job in jobs]

    async def told(*arguments: str) -> tuple[int, Any]:
        code, out, _ = await _run(crewline, *arguments, "--json")
        return code, json.loads(out)

    assert await told("pause") == (0, {"queue": "emails", "paused": True, "changed": True})
    assert await told("resume") == (0, {"queue": "emails", "paused": False, "changed": True})
    assert await told("jobs", "promote", *ids[:2]) == (0, {"queue": "emails", "promoted": ids[:2], "failed": {}})
    why = {"99": "job 99: a worker holds it, it has ended, or it is not there"}
    assert await told("jobs", "remove", ids[0], "99") == (1, {"queue": "emails", "removed": ids[:1], "failed": why})
    assert await told("jobs", "logs", ids[1]) == (0, [])
    code, picture = await told("top")
    assert code == 0 and (picture["emails"]["waiting"], picture["emails"]["delayed"]) == (1, 1)
    assert picture["emails"]["workers"] == []


async def test_waiting_is_one_word_for_the_same_jobs_wherever_it_is_said(crewline: Any, queue: Queue) -> None:
    await queue.add_bulk([("plain", 1), ("urgent", 2, {"priority": 1}), ("later", 3, {"delay": 600})])
    assert (await queue.metrics()).waiting == 2
    code, out, _ = await _run(crewline, "jobs", "list", "waiting")
    assert code == 0 and [line.split()[1] for line in out.splitlines()[1:]] == ["plain", "urgent"]
    assert await _run(crewline, "clean", "waiting") == (0, "deleted 2 waiting jobs\n", "")
    code, _, err = await _run(crewline, "clean", "wait")
    assert code == 2 and "waiting" in err


async def test_a_wrong_option_of_many_jobs_is_no_lines_fault(crewline: Any, queue: Queue) -> None:
    code, _, err = await _run(crewline, "enqueue", "n", "--priority", "99999999", stdin="1\n2\n")
    assert code == 2 and "priority" in err and "item" not in err
