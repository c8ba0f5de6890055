"""The client side: what producers, workers and operators do to the queues, through Crewline's own calls.

All calls are here, so that a changed signature is followed in one place. What a call must answer is checked where it is
made; what must hold in any case is in `invariants`.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crewline import CrewlineError, Job, Keep, Queue
from crewline.connection import text
from crewline.dead_letters import DeadLetters
from crewline.options import keep_from_wire
from crewline.scripts import Fetched, Result
from redis.asyncio import Redis

from tests.redis.model import clock, picture
from tests.redis.model.picture import JobKey, Picture

PREFIX = "bull"
#: Two queues of one slot that work for each other, and where their dead letters go.
QUEUES = ("mail", "side")
LETTERS = "dead"
ALL = (*QUEUES, LETTERS)
LEASE_MS = clock.MINUTE_MS


class Wrong(AssertionError):
    """Something that must hold does not."""


@dataclass
class Held:
    """A job that a worker has fetched: with what, and what its counts were before."""

    queue: str
    id: str
    token: str
    fields: dict[bytes, Any]
    before: dict[str, str]

    @property
    def started(self) -> int:
        return int(self.fields.get(b"ats", 0))

    @property
    def key(self) -> JobKey:
        return JobKey(self.queue, self.id)


@dataclass
class Asked:
    """A finish_and_fetch and its answer."""

    worker: int
    queue: str
    room: int
    fetched: Fetched


@dataclass
class Worker:
    """What one worker knows: what it runs, what it has ended."""

    number: int
    holds: list[Held] = field(default_factory=list)
    ended: list[Held] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"worker-{self.number}"


class World:
    """The queues of one Redis, and two workers."""

    def __init__(self, url: str, changes: Mapping[str, str] | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self.redis = Redis.from_url(url, protocol=2)
        self.queues: dict[str, Queue] = {}
        for name in ALL:
            queue = Queue(name, redis=self.redis, prefix=PREFIX, dead_letter_queue=LETTERS)
            queue.scripts = clock.ClockedScripts(self.redis, queue.keys, changes or {})
            self.queues[name] = queue
        self.begin()

    def begin(self) -> None:
        """All anew: an empty Redis, and workers that hold nothing."""
        self.workers = [Worker(0), Worker(1)]
        self.steps: list[str] = []
        self.asked: list[Asked] = []
        self._tokens = itertools.count(1)
        self._flows = itertools.count(1)
        self._run(self.redis.flushall())
        self._run(clock.begin(self.redis))
        self.now = self.before = self.look()

    def close(self) -> None:
        self._run(self.redis.aclose())
        self._loop.close()

    def look(self) -> Picture:
        now_ms = self._run(clock.now_ms(self.redis))
        return self._run(picture.take(self.redis, PREFIX, ALL, now_ms, clock.CLOCK_KEY))

    def pick(self, queue: str, ref: str) -> str:
        """The id that is meant: itself, or ``#n``, the n-th newest of those that nobody chose."""
        if not ref.startswith("#"):
            return ref
        found = [job_id for job_id in self.now.queues[queue].jobs if len(job_id) > 1 or job_id.isdigit()]
        found.sort(key=lambda job_id: (int(job_id) if job_id.isdigit() else 0, job_id), reverse=True)
        return found[int(ref[1:]) % len(found)] if found else "a"

    # -- producers

    def add(self, queue: str, data: Any, options: dict[str, Any]) -> Any:
        return self.call(f"add to {queue}: {options}", lambda: self.queues[queue].add("job", data, **options))

    # -- workers

    def fetch(self, worker: int, queue: str, room: int, *results: Result) -> Fetched:
        """Settles and fetches in one call, as a worker does."""
        number = next(self._tokens)
        hands = self.workers[worker]
        token = f"{hands.name}:{number}"
        told = f"{hands.name} of {queue} fetches {room}, settles {[(*each[:3], each.keep, each.flags) for each in results]}"
        fetched: Fetched = self.call(
            told,
            lambda: self.queues[queue].scripts.finish_and_fetch(
                results, letters=self.queues[LETTERS].keys.base, token=token, lease_ms=LEASE_MS, worker=hands.name,
                room=room,
            ),
        )  # fmt: skip
        self.asked.append(Asked(worker, queue, room, fetched))
        for raw_id, flat in fetched.jobs:
            fields = dict(zip(flat[::2], flat[1::2], strict=True))
            before = self.now.queues[queue].jobs.get(text(raw_id), {})
            hands.holds.append(Held(queue, text(raw_id), token, fields, before))
        return fetched

    def result(self, held: Held, outcome: str, *, keep: Keep, delay_minutes: int, letter: bool) -> Result:
        """How a run ends, as a worker would say it."""
        opts = self.queues[held.queue].decode_opts(held.fields.get(b"opts"))
        flags = "" if letter else "n"
        if b"suspect" in held.fields and outcome != "back":
            flags += "s"
        option = {"completed": "removeOnComplete", "failed": "removeOnFail"}.get(outcome)
        kept = keep_from_wire(opts.get(option), keep) if option else ""
        value = {"completed": '{"done":true}', "back": ""}.get(outcome, "broken")
        return Result(
            held.id, held.token, outcome, value, delay_ms=delay_minutes * clock.MINUTE_MS, keep=kept, flags=flags,
            started=held.started,
        )  # fmt: skip

    def let_go(self, worker: int, held: Held) -> None:
        self.workers[worker].holds.remove(held)
        self.workers[worker].ended.append(held)

    # -- operators

    def remove(self, queue: str, job_id: str, children: bool) -> Any:
        return self.call(f"remove {queue}/{job_id}, children={children}", lambda: self.queues[queue].remove(job_id, children=children))

    def letters_of(self, queue: str) -> DeadLetters:
        letters = DeadLetters(self.queues[queue])
        return letters

    # -- how calls are made

    def call(self, told: str, make: Callable[[], Awaitable[Any]]) -> Any:
        """Makes a call; a refusal is an answer, anything else that is raised is wrong."""
        try:
            answer = self._run(make())
        except CrewlineError as error:
            answer = error
        except Exception as error:
            self.steps.append(f"{told} -> {error!r}")
            raise Wrong(f"{told}: raised {error!r}\n{self.told()}") from error
        shown = answer.id if isinstance(answer, Job) else answer
        self.steps.append(f"{told} -> {shown!r}")
        return answer

    def told(self, last: int = 30) -> str:
        """The last steps, for a message."""
        return "steps:\n" + "\n".join(f"  {n}. {step}" for n, step in list(enumerate(self.steps, 1))[-last:])

    def _run(self, awaitable: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await awaitable

        return self._loop.run_until_complete(wait())
