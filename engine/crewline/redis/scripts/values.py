"""What scripts are told and answer, where that is more than a word; and how much one call may hold."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from crewline.wire.retention import KEEP_FAILED
from crewline.wire.text import text

#: Jobs that one call of a script that goes through many touches at most; each script's header says its own bound.
MOST_JOBS = 200
#: Bytes of jobs that one call carries at most; a larger job goes alone. Each MB takes Redis 2 to 4 ms.
MOST_BYTES = 200_000
#: Fewer where each costs more: jobs with a deduplication id, jobs of a flow, jobs of a tree that is removed, ...
MOST_OF_FLOW = 100
MOST_REMOVED = 80
MOST_DEDUPLICATED = 50
#: ... ids of `active` that are looked at for lost ones.
MOST_LOOKED_AT = 80


class Added(NamedTuple):
    """What add_jobs returns: an id for each job, and the positions, from 0, of those for which nothing was stored."""

    ids: list[str]
    left_out: frozenset[int]


#: What each job has when it is added.
PLAIN = (b"name", b"data", b"opts", b"timestamp", b"delay", b"priority")


class FetchedJob(NamedTuple):
    """A job that finish_and_fetch has leased.

    Attributes:
        raw_id: its id as Redis has it, which may be no UTF-8 text.
        fields: what was told of its hash.
        started: which start of the job this fetch was, as extend_leases takes it.
    """

    raw_id: bytes | str
    fields: dict[bytes, Any]
    started: str

    @property
    def id(self) -> str:
        return text(self.raw_id)


class Fetched(NamedTuple):
    """What finish_and_fetch returns; each job is its id and its hash."""

    now_ms: int
    codes: list[int]
    jobs: list[FetchedJob]
    next_due_ms: int
    limited_ms: int

    @classmethod
    def of(cls, reply: list[Any]) -> Fetched:
        """From the script's reply."""
        now_ms, codes, told, next_due_ms, limited_ms, *_ = reply
        return cls(now_ms, codes, [_job(each, now_ms) for each in told], next_due_ms, limited_ms)

    @property
    def more(self) -> bool:
        """Whether there is more to fetch at once, although there was room for more."""
        return 0 < self.next_due_ms <= self.now_ms


def _job(told: list[Any], now_ms: int) -> FetchedJob:
    if len(told) == 2:
        job_id, flat = told
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return FetchedJob(job_id, fields, f"{text(fields.get(b'ats', b'1'))}:{now_ms}")
    fields = dict(zip(PLAIN, told, strict=False))
    fields[b"ats"], fields[b"processedOn"] = b"1", b"%d" % now_ms
    return FetchedJob(told[-1], fields, f"1:{now_ms}")


class Heard(NamedTuple):
    """What a worker hears with a beat.

    Attributes:
        cancels: id, token and reason of each run that is to be cancelled.
        drain: the token of the request to drain, '' for none.
        settings: those of the queue where they are other ones than before, b'' if there are none any more.
    """

    cancels: list[tuple[str, str, str]]
    drain: str
    settings: bytes | None


class Recovered(NamedTuple):
    """Ids that a look for jobs without a lease has put back.

    Attributes:
        back: they lost their worker, and run alone next.
        doomed: they took it down too often: the next fetch fails them.
        unbegun: their worker never read of them.
    """

    back: list[str]
    doomed: list[str]
    unbegun: list[str]


class Result(NamedTuple):
    """How a job ended, as finish_and_fetch takes it.

    Attributes:
        outcome: completed, failed, retry, or back (handed back: no attempt was used up).
        value: completed: the result, JSON text; failed and retry: the reason.
        trace, traces: the stack trace, and how many of them the job keeps.
        delay_ms, lifo: retry: when, and whether before those that wait.
        keep_completed, keep_failed: retention, each for its outcome. Any other turns out to be a failure where the job
            was to be cancelled: then its own options say.
        plain: completed: it was fetched without attempts, a deduplication id and a mark that nobody read of it, so that
            nobody has to look for them.
        suspect: it was a suspect, and whoever ran it lives.
        alone: which start it was, of a suspect that ran alone in its worker, which lives; '' for all others.
        crashed: back: the process died that ran this suspect alone. It stays one, and that start counts.
        tried: back: this suspect raised in a process of its own, which lived on. It stays one, and runs as any other.
        larger: retry, back: of what its job died for want of memory, so that it waits for a larger worker; '' for none.
        outgrown: back: it died of that just now. That start counts.
        exhausted: failed: it had attempts, and they are used up.
        letter: failed: it gets a dead letter.
        earlier: completed, failed: the dead letter of an earlier failure, '' for none.
        unreadable, optionless: its data is not JSON; its options are none that can be read.
    """

    job_id: str
    token: str
    outcome: str
    value: str
    trace: str = ""
    traces: int = 10
    delay_ms: int = 0
    lifo: bool = False
    keep_completed: str = ""
    keep_failed: str = ""
    plain: bool = False
    suspect: bool = False
    alone: str = ""
    crashed: bool = False
    tried: bool = False
    larger: str = ""
    outgrown: bool = False
    exhausted: bool = False
    letter: bool = True
    earlier: str = ""
    unreadable: bool = False
    optionless: bool = False

    def sent(self) -> tuple[str, str, str, str, str]:
        """As finish_and_fetch takes it: few arguments, since each costs both sides."""
        if self.plain and self.outcome == "completed" and not self.suspect and not self.earlier:
            return self.job_id, self.token, self.outcome, self.value, self.keep_completed
        more: dict[str, Any] = {}
        if self.outcome == "completed":
            more["keep"] = self.keep_completed
        elif self.outcome == "failed":
            more |= {"traces": self.traces, "keep": self.keep_failed}
        else:
            more["written"] = KEEP_FAILED.script
            if self.outcome == "retry":
                more |= {"delay": self.delay_ms, "traces": self.traces}
        for name in ("lifo", "suspect", "crashed", "tried", "outgrown", "exhausted", "unreadable", "optionless"):
            if getattr(self, name):
                more[name] = True
        if self.earlier:
            more["earlier"] = self.earlier
        if self.alone:
            more["alone"] = self.alone
        if self.larger and self.outcome in ("retry", "back"):
            more["larger"] = self.larger
        if not self.letter:
            more["letter"] = False
        encoded = json.dumps(more)
        if self.trace and self.outcome != "completed":
            encoded += "\0" + json.dumps(self.trace, ensure_ascii=False)
        return self.job_id, self.token, self.outcome, self.value, encoded
