"""Names, reasons, data, progress and logs that were made to break a terminal or the command that shows them."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from crewline import DeadLetters, Job, Queue
from crewline.cli.common import read_keep
from crewline.cli.printing import cell, shown

from tests.redis.test_cli import _run
from tests.redis.test_cli import crewline as crewline

#: Markup that closes what was never opened, an escape that clears the screen, a C1 control, text that runs backwards,
#: a bell, half a character, an emoji's name.
EVIL = "[/x][bold]\x1b[2J\x9b31m\u202egnp.exe\x07\u2066\u200b:smile:"

BAD = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]")


async def _hostile(queue: Queue, start_worker: Any, until: Any) -> str:
    async def handle(job: Job) -> None:
        await job.progress({"at": EVIL})
        await job.log(f"line {EVIL}")
        raise ValueError(f"{EVIL}\nsecond line")

    worker = await start_worker(handle, name=EVIL)
    await queue.add(EVIL, {"to": EVIL}, job_id="evil" + EVIL.replace(":", "."), attempts=1)
    await until(DeadLetters(queue).count)
    await worker.stop()
    return "evil" + EVIL.replace(":", ".")


async def test_every_command_prints_hostile_text_harmlessly(
    crewline: Any, queue: Queue, start_worker: Any, until: Any
) -> None:
    job_id = await _hostile(queue, start_worker, until)
    await queue.redis.set(f"{queue.prefix}:evil{EVIL.replace(':', '.')}:id", 1)
    told = json.dumps({"name": EVIL, "busy": EVIL, "running": [EVIL], "slots": 1})
    await queue.redis.zadd(queue.keys.extra("workers"), {EVIL: 1})
    await queue.redis.set(queue.keys.extra(f"worker:{EVIL}"), told)
    commands = [
        ["jobs", "list", "failed"], ["jobs", "show", job_id], ["jobs", "logs", job_id], ["jobs", "show", EVIL],
        ["jobs", "logs", EVIL], ["jobs", "retry", EVIL], ["dlq", "list"], ["dlq", "show", "1"], ["dlq", "show", EVIL],
        ["dlq", "replay", EVIL], ["queues"], ["top", "--once"], ["metrics"], ["pause", "-q", "q" + EVIL[:3]],
        ["enqueue", EVIL, "1", "--job-id", EVIL], ["jobs", "promote", job_id], ["jobs", "retry", job_id],
        ["jobs", "list", "waiting"], ["jobs", "cancel", job_id], ["jobs", "remove", job_id],
    ]  # fmt: skip
    for command in commands:
        code, out, err = await _run(crewline, *command)
        assert code in (0, 1, 2), (command, err)
        assert "Traceback" not in err, (command, err)
        assert not BAD.search(out + err), (command, out, err)
        if command[0] in ("queues", "top") or command[:2] in (["jobs", "list"], ["dlq", "list"]):
            assert code == 0 and "[/x][bold]" in out, (command, out)
    await queue.redis.delete(
        queue.keys.extra("workers"), queue.keys.extra(f"worker:{EVIL}"),
        f"{queue.prefix}:evil{EVIL.replace(':', '.')}:id",
    )  # fmt: skip
    await queue.redis.delete(*[key async for key in queue.redis.scan_iter(match="bull:q*")] or ["none"])


async def test_events_are_printed_harmlessly_and_json_holds_them_as_they_are(crewline: Any, queue: Queue) -> None:
    await queue.add(EVIL, 1)
    process = await crewline("events", "--after", "0")
    line = (await asyncio.wait_for(process.stdout.readline(), 20)).decode()
    assert "added" in line and "[/x][bold]" in line and not BAD.search(line.rstrip("\n"))
    process.kill()
    await process.wait()
    code, out, _ = await _run(crewline, "jobs", "list", "--json")
    assert code == 0 and json.loads(out)[0]["name"] == EVIL


async def test_a_dead_letter_is_shown_as_json_that_can_be_read(
    crewline: Any, queue: Queue, start_worker: Any, until: Any
) -> None:
    await _hostile(queue, start_worker, until)
    code, out, _ = await _run(crewline, "dlq", "show", "1")
    assert code == 0 and json.loads(out)["data"] == {"to": EVIL}


async def test_one_unreadable_job_hides_none_of_the_others(crewline: Any, queue: Queue) -> None:
    await queue.add_bulk([("good", {"n": n}) for n in range(3)])
    await queue.redis.hset(queue.keys.job("2"), mapping={"data": b"{oops\xff", "timestamp": "1e300", "opts": "[1]"})
    code, out, err = await _run(crewline, "jobs", "list")
    assert code == 0, err
    assert len(out.strip().splitlines()) == 4 and "{oops" in out
    code, out, err = await _run(crewline, "jobs", "show", "2")
    assert code == 0 and "{oops" in out, err
    code, out, err = await _run(crewline, "jobs", "list", "--json")
    assert code == 0 and [job["id"] for job in json.loads(out)] == ["3", "2", "1"], err


#: Fields of a job's hash that any client of the Redis may have written.
ODD: dict[str, dict[str, bytes]] = {
    "deep": {"data": b"[" * 900 + b"]" * 900}, "deeper": {"progress": b"[" * 50_000 + b"]" * 50_000},
    "number": {"data": b"9" * 6000}, "infinite": {"opts": b'{"attempts": 1e999}'}, "options": {"opts": b"\xff{oops"},
    "name": {"name": b"\xff\xfe"}, "traces": {"stacktrace": b'[{"a": 1}]'}, "reason": {"failedReason": b"\xff"},
    "when": {"timestamp": b"9" * 5000, "processedOn": b"-9e99"}, "half": {"data": b'"\\ud800"'},
}  # fmt: skip


async def test_whatever_is_stored_as_a_job_has_its_row_and_hides_no_other(crewline: Any, queue: Queue) -> None:
    jobs = [await queue.add("n", 1, job_id=job_id) for job_id in ODD]
    for job in jobs:
        await queue.redis.hset(queue.keys.job(job.id), mapping=ODD[job.id])
    await queue.redis.rpush(queue.keys.wait, b"\xff\xfe", "gone", "text", "meta")
    await queue.redis.set(queue.keys.job("text"), "no hash")
    code, out, err = await _run(crewline, "jobs", "list", "-n", "100")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line for line in out.splitlines()[1:]}
    why = {"\\xff\\xfe": "its id is no UTF-8 text", "gone": "it is not there any more",
           "text": "its key holds no job: it is a string", "meta": "no job can have this id"}  # fmt: skip
    assert rows.keys() == {*ODD, *why}
    assert {job_id: rows[job_id].partition(job_id)[2].strip() for job_id in why} == why
    code, out, err = await _run(crewline, "jobs", "list", "-n", "100", "--json")
    told = {each["id"]: each for each in json.loads(out)}
    assert (code, err, told.keys()) == (0, "", rows.keys())
    assert {job_id: told[job_id]["unreadable"] for job_id in why} == why
    assert told["options"]["opts"] == "\ufffd{oops"
    for job_id in ("deep", "infinite", "options", "when"):
        assert [(await _run(crewline, "jobs", "show", job_id, *more))[0] for more in ([], ["--json"])] == [0, 0]
    await queue.redis.delete(queue.keys.job("text"))
    await queue.redis.ltrim(queue.keys.wait, 0, len(ODD) - 1)


async def test_one_letter_that_cant_be_replayed_stops_no_other_and_is_named(
    crewline: Any, queue: Queue, start_worker: Any, until: Any
) -> None:
    async def fail(job: Job) -> None:
        raise ValueError("no")

    worker = await start_worker(fail)
    async with Queue("emails", redis=queue.url, max_payload_bytes=3 << 20) as large:
        await large.add_bulk([("n", data, {"attempts": 1}) for data in ("a", "x" * (2 << 20), "b")])
        await until(lambda: _letters(queue, 3))
        await worker.stop()
        code, out, err = await _run(crewline, "dlq", "replay", "--all")
        assert code == 1 and "replayed 2" in out
        assert "1 letter can't be replayed" in err and "2,097,154 bytes" in err
        code, out, _ = await _run(crewline, "dlq", "replay", "--all", "--json")
        told = json.loads(out)
        assert (
            code == 1
            and told["replayed"] == 0
            and list(told["failed"]) == [letter.id for letter in await DeadLetters(queue).list()]
        )
        done = [letter_id for letter_id in ("1", "2", "3") if letter_id not in told["failed"]]
        code, out, err = await _run(crewline, "dlq", "replay", *done, "99", *told["failed"])
        assert code == 1 and "2 letters can't be replayed" in err and "no dead letter 99" in err
        assert out == (
            "".join(f"{letter_id}: replayed before, or its job runs again or is done\n" for letter_id in done)
            + "replayed 0 letters; each is replayed once only\n"
        )
        # a queue that takes it replays it
        assert await DeadLetters(large).replay_all() == 1


async def _letters(queue: Queue, count: int) -> bool:
    return await DeadLetters(queue).count() == count


async def test_enqueue_says_that_a_known_id_added_nothing(crewline: Any, queue: Queue) -> None:
    await _run(crewline, "enqueue", "n", "1", "--job-id", "own")
    code, out, _ = await _run(crewline, "enqueue", "n", "2", "--job-id", "own")
    assert (code, out) == (0, "job own exists already: nothing was added\n")
    code, out, _ = await _run(crewline, "enqueue", "n", "2", "--job-id", "own", "--json")
    told = json.loads(out)
    assert (told["added"], told["ids"], told["existed"]) == (0, ["own"], ["own"])


async def test_retention_is_said_on_the_command_line(crewline: Any, queue: Queue, tmp_path: Any, until: Any) -> None:
    await _run(crewline, "enqueue", "n", "1", "--keep-completed", "5,2h", "--keep-failed", "all")
    job = await queue.get_job("1")
    assert job is not None
    assert job.opts["removeOnComplete"] == {"count": 5, "age": 7200} and job.opts["removeOnFail"] is False
    code, _, err = await _run(crewline, "enqueue", "n", "1", "--keep-completed", "soon")
    assert code == 2 and "1000,24h" in err
    await job.remove()
    process = await crewline("worker", "handlers:handle", "--keep-completed", "2")
    await queue.add_bulk([("n", n) for n in range(5)])
    await until(lambda: _completed(queue, 2))
    process.terminate()
    await asyncio.wait_for(process.wait(), 20)


async def _completed(queue: Queue, count: int) -> bool:
    counts = await queue.metrics()
    return counts.waiting + counts.active == 0 and counts.completed == count


async def test_top_searches_for_queues_once_in_a_while_and_opens_no_client_for_each(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crewline.cli.overview import Overview

    for n in range(20):
        async with Queue(f"q{n}", redis=queue.url) as other:
            await other.add("n", 1)

    async def scans() -> int:
        return int((await queue.redis.info("commandstats")).get("cmdstat_scan", {}).get("calls", 0))

    async with Overview(queue.url, "bull") as overview:
        await queue.redis.config_resetstat()
        assert len(await overview.look()) == 20
        first = await scans()
        connected = len(await queue.redis.client_list())
        for _ in range(10):
            look = await overview.look()
        assert look["q3"].counts.waiting == 1 and await scans() == first
        assert len(await queue.redis.client_list()) == connected


@pytest.mark.parametrize("option", ["--grace-seconds", "--lease-seconds", "--timeout-seconds"])
@pytest.mark.parametrize("value", ["-1", "nan", "inf"])
async def test_a_time_that_is_none_is_wrong_usage(crewline: Any, option: str, value: str) -> None:
    code, _, err = await _run(crewline, "worker", "handlers:handle", f"{option}={value}")
    assert code == 2 and option in err


def test_only_what_a_terminal_would_obey_is_taken_away() -> None:
    assert shown("grün 日本 👩\u200d🔬 [x]") == "grün 日本 👩\u200d🔬 [x]"
    assert shown("a\nb\tc\x1b", lines=True) == "a\nb\tc\\u001b"
    assert shown("a\nb") == "a\\u000ab"
    assert shown("\ud800") == "\\ud800"
    assert cell("[red]x[/]\nsecond").plain == "[red]x[/]"


def test_retention_on_the_command_line_is_a_count_an_age_or_both() -> None:
    told = [read_keep(text) for text in ("1000,24h", "7d", "0", "all", "")]
    assert [keep and keep.script for keep in told] == ["1000,86400", ",604800", "0", "", None]


async def test_json_is_json_whatever_other_clients_wrote(crewline: Any, queue: Queue) -> None:
    job = await queue.add("n", {"x": 1}, delay=60)
    await queue.redis.hset(queue.keys.job(job.id), "data", '{"x": 1e999, "y": [-1e999]}')
    await queue.redis.set(f"{queue.prefix}:broken:id", "no number")
    for command in (["jobs", "list", "delayed", "--json"], ["jobs", "show", job.id, "--json"], ["queues", "--json"]):
        code, out, err = await _run(crewline, *command)
        assert code == 0, err
        json.loads(out, parse_constant=lambda said: pytest.fail(f"printed {said}"))
    code, out, err = await _run(crewline, "top", "--once")
    assert code == 0, err
    assert "broken" in out
    await queue.redis.delete(f"{queue.prefix}:broken:id")


async def test_who_closes_the_output_is_not_told_that_redis_cant_be_used(crewline: Any, queue: Queue) -> None:
    await queue.add_bulk(("n" * 2000, number) for number in range(100))
    process = await crewline("jobs", "list", "waiting", "--limit", "100", "--json")
    process.stdout._transport.close()
    err = (await process.stderr.read()).decode()
    assert await process.wait() in (0, 1)
    assert "Redis" not in err and "Traceback" not in err, err


async def test_what_is_named_like_a_queue_and_is_none_takes_no_view_down(crewline: Any, queue: Queue) -> None:
    await queue.add("n", 1)
    await queue.pause()
    for key in ("bull::id", "bull:wrong:id", "bull:wrong:wait"):
        await queue.redis.set(key, 1)
    registry = queue.keys.extra("workers")
    await queue.redis.zadd(registry, {"w": 1})
    await queue.redis.set(queue.keys.extra("worker:w"), "[1]")
    for command in (["queues"], ["queues", "--json"], ["top", "--once"]):
        code, out, err = await _run(crewline, *command)
        assert code == 0 and "emails" in out and "wrong" not in out, err
    for command in (
        ["jobs", "show", "meta"],
        ["jobs", "logs", "wait"],
        ["dlq", "show", "wait"],
        ["dlq", "replay", "id"],
    ):
        code, _, err = await _run(crewline, *command)
        assert code == 1 and re.search("there is no (job|dead letter) ", err), err
    await queue.redis.delete(
        "bull::id", "bull:wrong:id", "bull:wrong:wait", registry, queue.keys.extra("worker:w")
    )  # fmt: skip
