"""What a script's header lists as ARGV, what its typed call sends, and what its text reads are the same."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import pytest
from crewline.redis.scripts import Result, Scripts, sha, source
from crewline.redis.scripts.calls import add
from crewline.wire.keys import Keys
from crewline.wire.options import Encoded, Shape
from crewline.wire.retention import Keep
from crewline.worker.calls import leases

from tests.unit.engine.headers import Arguments
from tests.unit.engine.test_scripts import NAMES

KEYS = Keys("bull", "emails")


class Lane:
    """Takes the commands that calls send, and answers each with the same reply."""

    def __init__(self, reply: Any) -> None:
        self.reply = reply
        self.sent: list[tuple[Any, ...]] = []

    async def call(self, *command: Any) -> Any:
        self.sent.append(command)
        return self.reply


class Sends(NamedTuple):
    """A typed call and what it must send.

    Attributes:
        named: what the header calls each argument after the base, and the value it has in this call.
        often: what follows: for each of the header's strides, the things that have it.
    """

    call: Callable[[Scripts], Awaitable[Any]]
    named: dict[str, Any]
    often: tuple[list[tuple[Any, ...]], ...] = ()
    reply: Any = 0


SHAPES = [Shape("n", "{}", "0", "1", "", "x"), Shape("m", "{}", "5", "0", "1", "")]
JOBS = [Encoded("a", "1", SHAPES[0]), Encoded("", "2", SHAPES[1]), Encoded("c", "3", SHAPES[0])]
RESULTS = [
    Result("1", "t1", "completed", "null", keep_completed="9,", plain=True),
    Result("2", "t2", "failed", "why", trace="torn", exhausted=True),
]
FAILED = '{"traces": 10, "keep": "", "exhausted": true}\0"torn"'
FETCH: dict[str, Any] = {
    "letters": "L",
    "token": "T",
    "lease_ms": 5,
    "worker": "W",
    "room": 7,
    "rate": (8, 9),
    "points": 10,
    "unread_ms": 6,
    "suspects": 3,
}
FETCHED = {
    "queue": "emails", "letters": "L", "token": "T", "lease": 5, "worker": "W", "room": 7, "max": 8, "duration": 9,
    "points": 10, "again": "", "unread": 6,
    "suspects": 3, "repeated": "bull-crewline:emails:repeated:T",
}  # fmt: skip

CALLS = {
    "add_flow": Sends(
        lambda s: s.add_flow([("bull:q:", JOBS[0]), ("bull:r:", JOBS[2])]), {"root": "", "first": "1", "seed": ""},
        ([("bull:q:", "a", "n", "1", *SHAPES[0][1:]), ("bull:r:", "c", "n", "3", *SHAPES[0][1:])],), (),
    ),
    "add_jobs": Sends(
        lambda s: s.add_jobs(JOBS), {"shapes": 2}, ([*SHAPES], [(1, "a", "1"), (2, "", "2"), (1, "c", "3")]), (),
    ),
    "add_run": Sends(
        lambda s: s.add_run("O", 5, "{}", "D", JOBS[0]),
        {"uid": "O", "run": 5, "told": "{}", "digest": "D", "name": "n", "data (JSON text)": "1",
         "opts (JSON text)": "{}", "priority": "1"},
    ),
    "append_log": Sends(
        lambda s: s.append_log("J", "line", 7, "T"),
        {"id": "J", "line": "line", "how many lines to keep": 7, "token of the worker that runs it": "T"},
    ),
    "beat": Sends(
        lambda s: s.beat("W", "I", 5, "told", "sha", [("1", "t1"), ("2", "t2")]),
        {"registry": "bull-crewline:emails:workers", "worker": "bull-crewline:emails:worker:W",
         "settings": "bull-crewline:emails:settings", "drain": "bull-crewline:emails:drain:I", "name": "W",
         "time to live in ms": 5, "JSON of what the worker tells of itself": "told", "known": "sha"},
        ([("1", "t1"), ("2", "t2")],), [[], ""],
    ),
    "cancel_job": Sends(lambda s: s.cancel_job("J", "why"), {"id": "J", "reason": "why", "written": ",604800"}),
    "change_delay": Sends(lambda s: s.change_delay("J", "5"), {"id": "J", "delay from now in milliseconds": "5"}),
    "change_priority": Sends(
        lambda s: s.change_priority("J", 5, True), {"id": "J", "priority": 5, "'1' to put it before its equals": "1"},
    ),
    "check_rights": Sends(lambda s: s.check_rights("J"), {"id of a job that there is none of": "J"}, reply=()),
    "clean_jobs": Sends(
        lambda s: s.clean_jobs("failed", 5, 7, 9, True),
        {"state": "failed", "before": 5, "limit": 7, "skip": 9, "drain": "1"}, reply=[[], 0],
    ),
    "continue_schedule": Sends(
        lambda s: s.continue_schedule("S", "J", 5, "{}"),
        {"schedule id": "S", "id of the iteration that was fetched": "J", "next": 5,
         "opts of the next iteration (JSON text)": "{}"}, reply="",
    ),
    "extend_leases": Sends(
        lambda s: s.extend_leases(5, "1", "t1", 1, "2", "t2", 3), {"lease in milliseconds": 5},
        ([("1", "t1", 1), ("2", "t2", 3)],), (),
    ),
    "finish_and_fetch": Sends(
        lambda s: s.finish_and_fetch(RESULTS, again=1, **FETCH), {**FETCHED, "again": 1},
        ([("1", "t1", "completed", "null", "9,"), ("2", "t2", "failed", "why", FAILED)],),
        [0, [], [], 0, 0],
    ),
    "forget_children": Sends(
        lambda s: s.forget_children("J", "T"), {"id": "J", "token of the worker that runs it": "T"},
    ),
    "give_up_flow": Sends(lambda s: s.give_up_flow("R", 5), {"root": "R", "before": 5}, reply=(0, 0)),
    "hand_back_worker": Sends(
        lambda s: s.hand_back_worker("U", "why", blame=True, most=3, keep_lines=9, fatal="sole", larger=True),
        {"leases": "U", "cause": "why", "blame": "1", "most": 3, "fatal": "sole", "skip": "", "window": 80, "kept": 9,
         "written": ",604800", "larger": "1"}, reply=[[], [], [], b""],
    ),
    "limit_queue": Sends(
        lambda s: s.limit_queue("{}", concurrency=5, max=None),
        {"settings": "bull-crewline:emails:settings", "told": "{}"},
        ([("concurrency", 5), ("max", "")],),
    ),
    "mark_alone": Sends(
        lambda s: s.mark_alone("J", "T"), {"id": "J", "token of the worker that runs it": "T", "'1' or ''": "1"},
    ),
    "obliterate_queue": Sends(
        lambda s: s.obliterate_queue(5, True),
        {"how many jobs and schedules at most in this call": 5, "'1' to delete jobs under a lease too": "1"},
    ),
    "pause_queue": Sends(lambda s: s.pause_queue(), {}),
    "promote_jobs": Sends(lambda s: s.promote_jobs(5, "1", "2"), {"how many at most": 5}, ([("1",), ("2",)],)),
    "begin_sweep": Sends(lambda s: s.begin_sweep(5), {"round": 5}),
    "read_clock": Sends(lambda s: s.read_clock(), {}),
    "recover_stalled": Sends(
        lambda s: s.recover_stalled(5, 7, lease_ms=8, once=True, window=9),
        {"interval": 5, "most": 7, "gate": "bull:emails:stalled-check", "lease": 8, "once": "1", "skip": "",
         "window": 9, "written": ",604800"}, reply=(),
    ),
    "release_flow": Sends(lambda s: s.release_flow("R"), {"root": "R"}),
    "remove_job": Sends(lambda s: s.remove_job("J", True, 5), {"id": "J", "children": "1", "most": 5}),
    "remove_schedule": Sends(lambda s: s.remove_schedule("S"), {"schedule id": "S"}),
    "replay_dead_letter": Sends(
        lambda s: s.replay_dead_letter("J", "L", "letter", "n", "1", "{}", 5, Keep(7, 9)),
        {"id of the job": "J", "base of the dead-letter queue": "L", "id of the letter": "letter", "name": "n",
         "data (JSON text)": "1", "opts (JSON text)": "{}", "priority": 5, "count": 7, "age": 9},
    ),
    "resume_queue": Sends(lambda s: s.resume_queue(), {}, reply=(1, 0)),
    "retry_job": Sends(lambda s: s.retry_job("J", True), {"id": "J", "'1' to give it all its attempts again": "1"}),
    "retry_jobs": Sends(
        lambda s: s.retry_jobs("failed", 5, 7, True),
        {'"failed" or "completed"': "failed", "the newest end that counts": 5, "how many at most": 7,
         "'1' to give them all their attempts again": "1"},
    ),
    "sweep_jobs": Sends(
        lambda s: s.sweep_jobs("failed", Keep(5, 7), 9),
        {'"completed" or "failed"': "failed", "count or ''": 5, "age in seconds or ''": 7,
         "how many jobs to look at": 9, "written count or ''": "", "written age or ''": 604800}, reply=(0, 0),
    ),
    "take_back_run": Sends(lambda s: s.take_back_run("O", True), {"uid as add_run has it": "O", "forget": "1"}),
    "update_data": Sends(lambda s: s.update_data("J", "1"), {"id": "J", "data (JSON text)": "1"}),
    "update_progress": Sends(
        lambda s: s.update_progress("J", "1", "T"),
        {"id": "J", "progress (JSON text)": "1", "token of the worker that runs it": "T"},
    ),
    "upsert_schedule": Sends(
        lambda s: s.upsert_schedule("S", "n", "1", "{}", "{1}", 5, "rule"),
        {"schedule id": "S", "job name": "n", "data (JSON text)": "1", "template opts (JSON text)": "{}",
         "iteration opts (JSON text)": "{1}", "next": 5, "fields of the rule as JSON": "rule"}, reply="",
    ),
}  # fmt: skip


def scripts_on(lane: Lane) -> Scripts:
    scripts = Scripts(None, KEYS)  # type: ignore[arg-type]
    scripts._lanes = lane  # type: ignore[assignment]
    return scripts


def arguments_of(name: str, command: tuple[Any, ...]) -> list[Any]:
    """ARGV of a script's call; fails if the script or the KEYS are others."""
    head, count = ("EVALSHA", sha(name)), len(KEYS.declared())
    assert command[: 3 + count] == (*head, count, *KEYS.declared())
    return list(command[3 + count :])


def check(name: str, sent: list[Any]) -> None:
    """Fails where ARGV is not what the header lists and this module expects."""
    expected, header = CALLS[name], Arguments.of(name)
    assert header.named[0].startswith("base")
    assert header.named[1:] == tuple(expected.named)
    assert [len(thing) for often in expected.often for thing in often] == [
        stride for stride, often in zip(header.strides, expected.often, strict=True) for _ in often
    ]
    parts = [part for often in expected.often for thing in often for part in thing]
    assert sent == ["bull:emails:", *expected.named.values(), *parts]


def test_every_script_is_looked_at() -> None:
    assert sorted(CALLS) == NAMES


@pytest.mark.parametrize("name", NAMES)
async def test_the_typed_call_sends_what_the_header_lists(name: str) -> None:
    lane = Lane(CALLS[name].reply)
    await CALLS[name].call(scripts_on(lane))
    (command,) = lane.sent
    check(name, arguments_of(name, command))
    assert "return" in getattr(Scripts, name).__annotations__


@pytest.mark.parametrize("name", NAMES)
def test_the_script_reads_each_argument_that_its_header_names_and_no_other(name: str) -> None:
    read = {int(number) for number in re.findall(r"ARGV\[(\d+)\]", source(name).split("]]", 1)[1])}
    assert read == set(range(1, len(Arguments.of(name).named) + 1))


def test_a_fetch_as_a_command_is_a_call_without_results() -> None:
    command = scripts_on(Lane(None)).fetch_command(**FETCH)
    assert arguments_of("finish_and_fetch", command) == ["bull:emails:", *FETCHED.values()]


def test_a_larger_worker_asks_for_nothing_but_what_waits_for_one() -> None:
    command = scripts_on(Lane(None)).fetch_command(**FETCH, larger=True)
    assert arguments_of("finish_and_fetch", command) == ["bull:emails:", *(FETCHED | {"suspects": "larger"}).values()]


def test_what_waits_for_a_larger_worker_says_so_where_it_goes_back_or_is_tried_again_and_nowhere_else() -> None:
    told = {"larger": "OOMKilled", "outgrown": True}
    assert json.loads(Result("1", "t", "back", "", **told).sent()[-1]) == {"written": ",604800", **told}
    assert json.loads(Result("1", "t", "retry", "", larger="why").sent()[-1])["larger"] == "why"
    assert "larger" not in json.loads(Result("1", "t", "failed", "", larger="why").sent()[-1])


async def test_jobs_added_in_turn_are_sent_as_each_part_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ahead(Lane):
        async def call_ahead(self, commands: Any) -> Any:
            for command in commands:
                yield await self.call(*command)

    monkeypatch.setattr(add, "MOST_JOBS", len(JOBS))
    lane = Ahead(())
    async for _ in scripts_on(lane).add_in_turn([*JOBS, *JOBS]):
        pass
    assert len(lane.sent) == 2
    for command in lane.sent:
        check("add_jobs", arguments_of("add_jobs", command))


def test_the_thread_that_keeps_leases_sends_what_the_typed_call_does(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[Any, Any]] = []

    class Client:
        def register_script(self, text: str) -> Callable[..., list[bytes]]:
            assert text == source("extend_leases")
            return self.extend

        def extend(self, keys: Any, args: Any) -> list[bytes]:
            sent.append((keys, args))
            keeper.stop()
            return []

        def close(self) -> None:
            closed.set()

    closed = threading.Event()
    monkeypatch.setattr(leases, "connect_sync", lambda *_: Client())
    held = {"1": leases.Lease("t1", 1), "2": leases.Lease("t2", 3)}
    keeper = leases.LeaseKeeper("redis://nowhere", KEYS, held, 5, lambda lost: None)
    keeper.start()
    assert closed.wait(10)
    ((keys, args),) = sent
    assert keys == KEYS.declared()
    check("extend_leases", args)
