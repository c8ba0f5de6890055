"""Arguments of the wrong kind: each is taken, as documented, or refused in words that name the argument.

A TypeError or an AttributeError from the inside would tell a caller of our code instead of theirs.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import crewline
import pytest
from crewline import (
    Backoff,
    DeadLetters,
    Dedup,
    FlowJob,
    InvalidOption,
    InvalidPayload,
    Job,
    JobNotFound,
    JobQueue,
    Keep,
    Middleware,
    Queue,
    Reject,
    Retry,
    Router,
    Worker,
    on,
    sync,
)
from crewline.queue.schedules import Schedules
from crewline.queue.store import NO_OPTS
from redis.exceptions import ConnectionError as Unreachable

#: Nobody listens there: what is not refused before anything is sent ends with `Unreachable`.
NOWHERE = "redis://127.0.0.1:1/0"

HOSTILE: dict[str, Any] = {
    "None": None, "5": 5, "-1": -1, "empty": "", "bytes": b"x", "[]": [], "{}": {}, "object": object(),
    "nan": math.nan, "inf": math.inf, "surrogate": "\udcff", "True": True,
}  # fmt: skip

#: What a kind of argument takes of these.
NOTHING = ""
ANYTHING = " ".join(HOSTILE)
OPTIONAL = "None"
COUNT, MOST = "5", "None 5"
TRUTH, MAYBE = "True", "None True"
JSON = "None 5 -1 empty [] {} True"
TEXT, TEXT_OR_NONE = "empty surrogate", "None empty surrogate"
JOB = "empty"

#: What a message calls an argument where that is not its name.
CALLED = {
    "after": "event id", "most": "most|concurrency|rate", "per_seconds": "rate", "letter_id": "letter's id",
    "queue": "queue", "value": "progress", "event": "worker event", "callback": "listener|callback",
    "names": "job name",
}  # fmt: skip

WORKER_TAKES = {
    "queue": NOTHING, "handler": NOTHING, "redis": NOTHING, "prefix": NOTHING, "concurrency": COUNT,
    # what can't be in a connection's name is replaced: a host may be called anything
    "name": TEXT_OR_NONE, "worker_id": OPTIONAL,
    "execution": OPTIONAL, "timeout_seconds": MOST, "grace_seconds": COUNT, "lease_seconds": COUNT,
    "stalled_interval_seconds": MOST, "max_crashes": COUNT, "on_oom": NOTHING, "larger": TRUTH,
    "dead_letter_queue": "None empty", "keep_completed": OPTIONAL, "keep_failed": OPTIONAL, "rate": OPTIONAL,
    "backoffs": "None {}", "middleware": "[]", "metrics_minutes": COUNT,
}  # fmt: skip
ADD_TAKES = {
    "name": NOTHING, "data": JSON, "job_id": OPTIONAL, "delay": MOST, "priority": MOST, "lifo": MAYBE,
    "attempts": MOST, "backoff": MOST, "remove_on_complete": "None 5 True", "remove_on_fail": "None 5 True",
    "dedup": OPTIONAL, "trace": OPTIONAL,
}  # fmt: skip
WANTED_TAKES = {
    "name": TEXT_OR_NONE, "reason": TEXT_OR_NONE, "since": OPTIONAL, "until": OPTIONAL, "text": TEXT_OR_NONE,
}  # fmt: skip
CHANGE = {"job_id": JOB}


def queue() -> Queue:
    return Queue("q", redis=NOWHERE)


def job() -> Job:
    return Job(queue(), "7", "n", None, NO_OPTS)


def worker(**arguments: Any) -> Worker:
    return Worker(**{"queue": "q", "handler": print, "redis": NOWHERE, **arguments})


async def started(handler: Any) -> None:
    await JobQueue("q", redis=NOWHERE).start(handler)


def routed(names: Any = "n", handler: Any = print, by: Any = None) -> None:
    (by or Router().on)(names)(handler)


def resized(concurrency: Any) -> None:
    worker().concurrency = concurrency


class Call(NamedTuple):
    """A function of the public API.

    Attributes:
        of: the class and the method whose arguments these are.
        make: what is called.
        takes: by argument, the ids of the hostile values that it takes.
        rest: the other arguments that it needs.
    """

    of: str
    make: Callable[..., Any]
    takes: dict[str, str]
    rest: dict[str, Any] = {}  # noqa: RUF012


def calls() -> Iterator[Call]:
    yield Call("Queue", lambda **a: Queue(**{"name": "q", "redis": NOWHERE, **a}), {
        "name": NOTHING, "redis": NOTHING, "prefix": NOTHING, "dead_letter_queue": "None empty",
        "max_payload_bytes": COUNT, "timeout_seconds": COUNT,
    })  # fmt: skip
    yield Call("Queue.add", lambda **a: queue().add(**a), ADD_TAKES, {"name": "n", "data": 1})
    yield Call("Queue.add_bulk", lambda jobs: queue().add_bulk(jobs), {"jobs": "[]"})
    yield Call("", lambda item: queue().add_bulk([item]), {"item": NOTHING})
    yield Call("", lambda name: queue().add_bulk([(name, 1)]), {"name": NOTHING})
    yield Call("", lambda options: queue().add_bulk([("n", 1, options)]), {"options": "{}"})
    yield Call("Queue.add_flow", lambda root: queue().add_flow(root), {"root": NOTHING})
    yield Call("", lambda **a: queue().add_flow(FlowJob(**{"name": "n", **a})), {
        "name": NOTHING, "data": JSON, "children": "[]", "queue": OPTIONAL, "options": "{}", "on_failure": NOTHING,
    })  # fmt: skip
    # the rest is checked with the whole flow, whose path the message names
    yield Call("FlowJob", FlowJob, {
        "name": NOTHING, "data": ANYTHING, "children": "[]", "queue": ANYTHING, "options": "{}",
        "on_failure": ANYTHING,
    }, {"name": "n"})  # fmt: skip
    yield Call("Queue.schedule", lambda **a: queue().schedule(**a), {
        "schedule_id": NOTHING, "name": NOTHING, "data": JSON, "cron": OPTIONAL, "every": COUNT, "time_zone": NOTHING,
        "start": OPTIONAL, "end": OPTIONAL, "limit": MOST,
        **{name: takes for name, takes in ADD_TAKES.items() if name not in ("name", "data", "job_id", "delay", "dedup")}
    }, {"schedule_id": "s", "name": "n", "every": 5})  # fmt: skip
    yield Call("", lambda **a: queue().schedule("s", "n", **{"cron": "* * * * *", **a}),
               {"cron": NOTHING, "time_zone": NOTHING})  # fmt: skip
    yield Call("Queue.job_state", lambda **a: queue().job_state(**a), CHANGE)
    yield Call("Queue.get_job", lambda **a: queue().get_job(**a), CHANGE)
    yield Call("Queue.look_at", lambda job_ids: queue().look_at(job_ids), {"job_ids": "[]"})
    yield Call("Queue.watch", lambda job_id: anext(queue().watch(job_id)), CHANGE)
    yield Call("Queue.events", lambda after: anext(queue().events(after)), {"after": OPTIONAL})
    yield Call("Queue.wait_for_result", lambda **a: queue().wait_for_result(**a), {**CHANGE, "timeout": MOST},
               {"job_id": "7"})  # fmt: skip
    yield Call("Queue.retry", lambda **a: queue().retry(**a), {**CHANGE, "fresh": TRUTH}, {"job_id": "7"})
    yield Call("Queue.cancel", lambda **a: queue().cancel(**a), {**CHANGE, "reason": TEXT}, {"job_id": "7"})
    yield Call("Queue.promote", lambda **a: queue().promote(**a), CHANGE)
    yield Call("Queue.change_delay", lambda **a: queue().change_delay(**a), {**CHANGE, "delay": COUNT},
               {"job_id": "7", "delay": 1})  # fmt: skip
    yield Call("Queue.change_priority", lambda **a: queue().change_priority(**a),
               {**CHANGE, "priority": COUNT, "first": TRUTH}, {"job_id": "7", "priority": 1})  # fmt: skip
    yield Call("Queue.update_data", lambda **a: queue().update_data(**a), {**CHANGE, "data": JSON},
               {"job_id": "7", "data": 1})  # fmt: skip
    yield Call("Queue.remove", lambda **a: queue().remove(**a), {**CHANGE, "children": TRUTH}, {"job_id": "7"})
    yield Call("Queue.clean", lambda **a: queue().clean(**a), {"state": NOTHING, "older_than": COUNT, "limit": MOST},
               {"state": "failed"})  # fmt: skip
    yield Call("Queue.drain", lambda **a: queue().drain(**a), {"delayed": TRUTH})
    yield Call("Queue.obliterate", lambda **a: queue().obliterate(**a), {"force": TRUTH})
    yield Call("Queue.retry_all", lambda **a: queue().retry_all(**a), {"state": NOTHING, "fresh": TRUTH})
    yield Call("Queue.set_global_concurrency", lambda **a: queue().set_global_concurrency(**a), {"most": MOST})
    yield Call("Queue.set_global_rate", lambda **a: queue().set_global_rate(**a),
               {"most": MOST, "per_seconds": COUNT}, {"most": 5})  # fmt: skip
    yield Call("Queue.configure", lambda **a: queue().configure(**a), {
        "generation": MOST, "concurrency": MOST, "paused": MAYBE, "rate": OPTIONAL, "keep_completed": OPTIONAL,
        "keep_failed": OPTIONAL, "attempts": MOST, "backoff": OPTIONAL,
    })  # fmt: skip
    for asked in ("drain_workers", "undrain_workers", "drains"):
        yield Call(f"Queue.{asked}", lambda worker_ids, asked=asked: getattr(queue(), asked)(worker_ids),
                   {"worker_ids": "[]"})  # fmt: skip
        yield Call("", lambda worker_id, asked=asked: getattr(queue(), asked)([worker_id]), {"worker_id": NOTHING})
    yield Call("Queue.drain_workers", lambda seconds: queue().drain_workers(["w"], seconds=seconds), {"seconds": COUNT})
    yield Call("Queue.hand_back_worker", lambda **a: queue().hand_back_worker(**a), {
        "worker": NOTHING, "cause": NOTHING, "blame": TRUTH, "max_crashes": COUNT, "fail_alone": TRUTH,
        "larger_first": TRUTH,
    }, {"worker": {"leases": "u"}, "cause": "gone", "blame": True})  # fmt: skip
    yield Call("Queue.settle_flows", lambda **a: queue().settle_flows(**a), {"older_than": COUNT, "on_error": OPTIONAL})
    yield Call("Queue.metrics_history", lambda **a: queue().metrics_history(**a), {"state": NOTHING})

    yield Call("Schedules.get", lambda **a: queue().schedules.get(**a), {"schedule_id": JOB})
    yield Call("Schedules.remove", lambda **a: queue().schedules.remove(**a), {"schedule_id": NOTHING})
    yield Call("Schedules.heal", lambda **a: queue().schedules.heal(**a), {"most": COUNT, "on_error": NOTHING})

    yield Call("Job.progress", lambda **a: job().progress(**a), {"value": JSON})
    # as print would show it
    yield Call("Job.log", lambda **a: job().log(**a), {"line": ANYTHING})
    yield Call("Job.extend", lambda **a: job().extend(**a), {"seconds": COUNT})
    yield Call("Job.result", lambda **a: job().result(**a), {"timeout": MOST})
    yield Call("Job.cancel", lambda **a: job().cancel(**a), {"reason": TEXT})
    yield Call("Job.retry", lambda **a: job().retry(**a), {"fresh": TRUTH})
    yield Call("Job.remove", lambda **a: job().remove(**a), {"children": TRUTH})

    yield Call("DeadLetters", DeadLetters, {"queue": NOTHING})
    yield Call("DeadLetters.list", lambda **a: DeadLetters(queue()).list(**a), {"limit": COUNT, **WANTED_TAKES})
    yield Call("DeadLetters.get", lambda **a: DeadLetters(queue()).get(**a), {"letter_id": JOB})
    yield Call("DeadLetters.replay", lambda **a: DeadLetters(queue()).replay(**a), {"letter_id": JOB})
    yield Call("DeadLetters.replay_each", lambda **a: DeadLetters(queue()).replay_each(**a),
               {"letter_ids": "[]", "on_error": OPTIONAL}, {"letter_ids": []})  # fmt: skip
    yield Call("DeadLetters.replay_all", lambda **a: DeadLetters(queue()).replay_all(**a), {
        "limit": MOST, "per_second": MOST, "dry_run": TRUTH, "on_error": OPTIONAL, **WANTED_TAKES,
    })  # fmt: skip

    yield Call("Worker", worker, WORKER_TAKES)
    yield Call("", lambda backoffs: worker(backoffs={"mine": backoffs}), {"backoffs": NOTHING})
    yield Call("", lambda middleware: worker(middleware=[middleware]), {"middleware": NOTHING})
    yield Call("Worker.on", lambda **a: worker().on(**a), {"event": NOTHING, "callback": NOTHING},
               {"event": "ready", "callback": print})  # fmt: skip
    yield Call("Worker.stop", lambda **a: worker().stop(**a), {"grace_seconds": MOST})
    yield Call("", resized, {"concurrency": COUNT})
    yield Call("on", lambda **a: routed(by=on, **a), {"names": TEXT, "handler": NOTHING}, {"handler": print})
    yield Call("Router.on", routed, {"names": TEXT, "handler": NOTHING})
    yield Call("JobQueue", lambda **a: JobQueue(**{"name": "q", "redis": NOWHERE, **a}), {
        "name": NOTHING, "dead_letter_queue": "None empty", "redis": NOTHING, "prefix": NOTHING,
        # `start` checks what is the worker's
        "concurrency": ANYTHING,
    })  # fmt: skip
    yield Call("JobQueue.start", started, {"handler": NOTHING})
    yield Call("", lambda concurrency: JobQueue("q", redis=NOWHERE, concurrency=concurrency).start(print),
               {"concurrency": COUNT})  # fmt: skip
    yield Call("JobQueue.enqueue", lambda **a: JobQueue("q", redis=NOWHERE).enqueue(**a),
               {"data": JSON, "name": NOTHING}, {"data": 1})  # fmt: skip
    yield Call("JobQueue.on_progress", lambda **a: JobQueue("q", redis=NOWHERE).on_progress(**a), {"callback": NOTHING})
    yield Call("JobQueue.shutdown", lambda **a: JobQueue("q", redis=NOWHERE).shutdown(**a), {"grace_seconds": MOST})

    # what a handler has computed: a failure of its own must not become another
    yield Call("Retry", Retry, {"reason": ANYTHING, "delay": ANYTHING})
    yield Call("", lambda reason: Reject(reason), {"reason": ANYTHING})
    yield Call("Backoff", Backoff, {"type": NOTHING, "delay": COUNT, "jitter": OPTIONAL, "custom": TRUTH})
    yield Call("", lambda type: Backoff.named(type), {"type": NOTHING})
    yield Call("Keep", Keep, {"count": MOST, "age_seconds": MOST})
    yield Call("Dedup", Dedup, {
        "id": NOTHING, "ttl_seconds": MOST, "extend": TRUTH, "replace": TRUTH, "keep_last_if_active": TRUTH,
    }, {"id": "x", "ttl_seconds": 1})  # fmt: skip

    yield Call("sync.Queue", lambda **a: sync.Queue(**{"name": "q", "redis": NOWHERE, **a}),
               {"name": NOTHING, "redis": NOTHING, "prefix": NOTHING})  # fmt: skip
    yield Call("sync.Queue.add", lambda **a: sync.Queue("q", redis=NOWHERE).add(**a), ADD_TAKES,
               {"name": "n", "data": 1})  # fmt: skip
    yield Call("sync.Queue.add_bulk", lambda **a: sync.Queue("q", redis=NOWHERE).add_bulk(**a), {"jobs": "[]"})
    yield Call("sync.Queue.add_flow", lambda **a: sync.Queue("q", redis=NOWHERE).add_flow(**a), {"root": NOTHING})
    yield Call("sync.Queue.schedule", lambda **a: sync.Queue("q", redis=NOWHERE).schedule(**a),
               {"schedule_id": NOTHING, "name": NOTHING, "data": JSON},
               {"schedule_id": "s", "name": "n", "every": 5})  # fmt: skip
    yield Call("sync.Queue.get_job", lambda **a: sync.Queue("q", redis=NOWHERE).get_job(**a), CHANGE)
    yield Call("sync.Queue.remove", lambda **a: sync.Queue("q", redis=NOWHERE).remove(**a),
               {**CHANGE, "children": TRUTH}, {"job_id": "7"})  # fmt: skip
    yield Call("sync.Queue.cancel", lambda **a: sync.Queue("q", redis=NOWHERE).cancel(**a),
               {**CHANGE, "reason": TEXT}, {"job_id": "7"})  # fmt: skip


CALLS = list(calls())


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        pytest.param(each, name, id=f"{each.of or number}-{name}")
        for number, each in enumerate(CALLS) for name in each.takes
    ],
)  # fmt: skip
async def test_an_argument_is_taken_or_refused_by_its_name(call: Call, argument: str) -> None:
    said = {name: await _outcome(call, argument, value) for name, value in HOSTILE.items()}
    refusal = re.compile(f"({CALLED.get(argument, argument.replace('_', '[ _]'))}).*(must |: )", re.DOTALL)
    taken = call.takes[argument].split()
    wrong = {
        name: outcome for name, outcome in said.items()
        if (outcome != "taken" if name in taken else not refusal.search(outcome))
    }  # fmt: skip
    assert not wrong


async def _outcome(call: Call, argument: str, value: Any) -> str:
    """The words that a value is refused in, else ``taken``; whatever else is raised is by its type."""
    try:
        answer = call.make(**{**call.rest, argument: value})
        if inspect.isawaitable(answer):
            await answer
    except (InvalidOption, InvalidPayload) as error:
        return str(error)
    except (Unreachable, JobNotFound):
        # it would have been sent, or there is no such job
        return "taken"
    except Exception as error:
        return type(error).__name__
    return "taken"


@pytest.mark.parametrize("name", [None, 5, "", b"x", (), math.nan, "\udcff"])
def test_a_wait_of_ones_own_has_a_name_that_is_text(name: Any) -> None:
    with pytest.raises(InvalidOption, match=r"^name in backoffs"):
        worker(backoffs={name: print})


#: They take what Crewline itself hands them, and what Redis holds.
INTERNAL = {
    "beside", "decode_opts", "from_hash", "shown", "through", "read_hash", "read_list", "find", "upsert", "advance",
}  # fmt: skip
#: What Crewline makes, for others to read.
RESULTS = {"DeadLetter", "Event", "FlowNode", "Job", "Limits", "Metrics", "Schedule", "SyncJob", "Update"}


def test_every_public_argument_is_in_the_table() -> None:
    table: dict[str, set[str]] = {}
    for each in CALLS:
        table.setdefault(each.of, set()).update(each.takes)
    public = {name: getattr(crewline, name) for name in crewline.__all__}
    public |= {"Schedules": Schedules, "sync.Queue": sync.Queue}
    missing = []
    for name, thing in public.items():
        if not inspect.isclass(thing) or thing is Middleware or (issubclass(thing, Exception) and thing is not Retry):
            continue
        methods = {} if name in RESULTS | {"Schedules"} else {name: thing}
        if thing is not crewline.SyncJob:
            for method, function in inspect.getmembers(thing, inspect.isfunction):
                if not method.startswith("_") and method not in INTERNAL:
                    methods[f"{name}.{method}"] = function
        for path, function in methods.items():
            for parameter in inspect.signature(function).parameters.values():
                if parameter.name == "self" or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                    continue
                if parameter.name not in table.get(path, ()):
                    missing.append(f"{path}: {parameter.name}")
    assert not missing
