"""The workers' side: two workers that fetch, settle, renew leases and die, through Crewline's own calls.

What an answer must be follows from who fetched a job last: only that lease counts.
"""

from __future__ import annotations

import json

from crewline import Keep
from crewline.redis.scripts import Fetched, Result
from crewline.wire.retention import KEEP_COMPLETED, KEEP_FAILED, keep_from_wire
from crewline.wire.text import text

from tests.redis.model import clock
from tests.redis.model.lives import LEASE_MS, Lives
from tests.redis.model.picture import JobKey, Picture
from tests.redis.model.runs import Asked, Held, Recovery, Settled, Worker
from tests.redis.model.world import LETTERS, World

CHILDREN = (-4, -9)
EXPIRED = -2


class Hands(Lives):
    """Two workers of all queues."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.workers = [Worker("w0"), Worker("w1")]
        self.asked: list[Asked] = []
        self.settled: list[Settled] = []
        self.recovered: list[Recovery] = []
        #: the token of the last fetch of each job: the one lease that counts
        self.latest: dict[JobKey, str] = {}
        self._calls = 0
        self._allowed: int | None = None

    def token(self, worker: int) -> str:
        """For another call of a worker."""
        self._calls += 1
        return f"{self.workers[worker].name}:{self._calls}"

    def fetch(
        self, worker: int, queue: str, room: int, *, unanswered: bool = False, late: bool = False,
        advance: bool = True, suspects: int | None = None, larger: bool = False,
    ) -> None:  # fmt: skip
        """Fetches; ``larger``: as a larger worker, which waits for no marker.

        ``unanswered``: the answer is lost, and the repeat must bring the same; ``late``: it arrives after its repeat,
        and must bring nothing.
        """
        token = self.token(worker)
        fetched = self.call(worker, queue, room, token, (), again=int(late), suspects=suspects, larger=larger)
        if unanswered and fetched.jobs:
            again = self.call(worker, queue, room, token, (), again=2, larger=larger)
            had, has = (sorted(each.id for each in answer.jobs) for answer in (fetched, again))
            self.world.must(had == has, f"a fetch brought {had}, its repeat {has}")
        for repeat in range(1 + unanswered) if late else ():
            brought = self.call(worker, queue, room, token, (), again=repeat).jobs
            self.world.must(not brought, f"a call that came after its repeat leased {[each.id for each in brought]}")
        self.take(worker, queue, room, token, fetched, advance, suspects, larger)

    def settle(
        self, worker: int, held: Held, outcome: str, *, keep: Keep, delay: int = 0, letter: bool = True, room: int = 0,
        how: str = "", unanswered: bool = False,
    ) -> None:  # fmt: skip
        """Settles one run and fetches, in one call; a run whose lease is not the latest must be refused.

        Args:
            how: of a suspect that goes back: ``crashed``, the process that ran it died; ``tried``, it raised in one; of
                any that does: ``outgrown``, its process died for want of memory. One that had before fails.
            unanswered: the answer is lost, and the call is repeated.
        """
        if held in self.workers[worker].holds:
            self.workers[worker].let_go(held)
        result = self.result(held, outcome, keep, delay, letter, how)
        code = self._settle(worker, held, result, room, unanswered)
        if code == EXPIRED and not self.world.on_queue(
            f"take {held.key.id} again",
            held.key.queue,
            lambda q: q.scripts.extend_leases(LEASE_MS, held.key.id, held.token, held.start),
        ):
            # as a worker goes on: nobody has begun the job since
            self._settle(worker, held, result, 0)
        elif code in CHILDREN:
            # its job can't complete
            self._settle(worker, held, self.result(held, "failed", keep, 0, letter), 0)

    def result(self, held: Held, outcome: str, keep: Keep, delay: int, letter: bool, how: str = "") -> Result:
        """How a run ends, as a worker would say it; ``delay`` in minutes."""
        if b"defa" in held.fields and outcome != "back":
            outcome = "failed"
        opts = self.world.queues[held.key.queue].decode_opts(held.fields.get(b"opts"))
        larger = text(held.fields.get(b"larger", b""))
        if how == "outgrown" and larger:
            outcome = "failed"
        suspect, back = b"suspect" in held.fields, outcome == "back"
        outgrown = back and how == "outgrown"
        return Result(
            held.key.id, held.token, outcome, {"completed": '{"done":true}', "back": ""}.get(outcome, "broken"),
            delay_ms=delay * clock.MINUTE_MS if outcome == "retry" else 0,
            keep_completed=keep_from_wire(opts.get("removeOnComplete"), keep, KEEP_COMPLETED),
            keep_failed=keep_from_wire(opts.get("removeOnFail"), keep, KEEP_FAILED), letter=letter,
            suspect=(suspect or larger != "") and not back,
            larger="memory" if outgrown else larger, outgrown=outgrown, optionless=not opts,
            alone=held.start if held.alone and not back else "",
            crashed=suspect and back and how == "crashed", tried=suspect and back and how == "tried",
            plain=not (held.unread or b"atm" in held.fields or b"deid" in held.fields),
        )  # fmt: skip

    def _settle(self, worker: int, held: Held, result: Result, room: int, unanswered: bool = False) -> int:
        world, key = self.world, held.key
        before = world.look()
        outcome, letter = result.outcome, result.letter
        mark = json.loads((before.queues[key.queue].own.get("cancels") or {}).get(key.id, "[]"))
        if outcome in ("retry", "back") and mark and mark[0] == held.token:
            # its worker had not heard of it yet
            outcome, letter = "failed", False
        ends = outcome in ("completed", "failed")
        # what ends may go with it, and prune what ended before it
        world.may_go = lambda gone, state: gone.queue == key.queue and (ends and (gone == key or state == outcome))
        token = self.token(worker)
        queue = before.queues[key.queue]
        valid = queue.state(key.id) == "active" and queue.part(key.id, "lock") == held.token
        owed = queue.part(key.id, "dependencies") or queue.part(key.id, "unsuccessful")
        fetched = self.call(worker, key.queue, room, token, (result,))
        (code,) = fetched.codes
        if not valid:
            world.must(code in (-1, -2, -3, -6), f"{key}: a result without a lease was answered {code}")
        elif result.outcome == "completed" and owed:
            world.must(code in CHILDREN, f"{key} completed although children are owed: {code}")
        else:
            world.must(code == 0, f"{key}: a result under the lease was answered {code}")
        world.must(
            code != 0 or self.latest.get(key) == held.token, f"{key}: a result of a run before the last was taken"
        )
        if unanswered:
            again = self.call(worker, key.queue, room, token, (result,), again=1)
            world.must(again.codes != [0] or code != 0, f"{key}: a repeated call took its result twice")
            had, has = (sorted(each.id for each in answer.jobs) for answer in (fetched, again))
            world.must(not had or had == has, f"a call with a result brought {had}, its repeat {has}")
            fetched = again
        if code and not room:
            self._refused(held, result, code, before)
        if code == 0:
            how = next((each for each in ("crashed", "tried", "outgrown") if getattr(result, each)), "")
            self.settled.append(Settled(held, outcome, letter, how if outcome == "back" else ""))
        self.take(worker, key.queue, room, token, fetched, True)
        return code

    def _refused(self, held: Held, result: Result, code: int, before: Picture) -> None:
        """A result that does not count changes nothing; but whoever lives was not taken down by its job."""
        world, key = self.world, held.key
        was = before.job(key) or {}
        now = world.look()
        if result.alone and code != -1 and was.get("blamed") == result.alone:
            had, has = int(was.get("crashes", 0)), int((now.job(key) or {}).get("crashes", 0))
            world.must(has == max(had - 1, 0), f"{key}: it lives, and its crashes are {has}, {had} before")
        else:
            world.must(now.jobs_as_they_are() == before.jobs_as_they_are(), f"{key}: a refused result left traces")

    def call(
        self, worker: int, queue: str, room: int, token: str, results: tuple[Result, ...] = (), again: int = 0,
        suspects: int | None = None, unread: bool = False, larger: bool = False,
    ) -> Fetched:  # fmt: skip
        """A finish_and_fetch; what it brings is for `take`, or for nobody."""
        # no two fetches are in one millisecond: a start is told from another by its moment
        self.world.run(clock.tick(self.world.redis))
        self._allowed = self._rate_left(queue)
        name = self.workers[worker].name
        kept = {} if larger else self._kept_for_larger(queue)
        told = "".join(f", {each.job_id} {each.outcome}, {each.sent()[-1]}" for each in results)
        fetched: Fetched = self.world.call(
            f"{name} at {queue}: room {room}{told}{f', repeat {again}' if again else ''}"
            + ("" if suspects is None else f", {suspects} suspects at most")
            + (", as a larger worker" if larger else ""),
            lambda: self.world.queues[queue].scripts.finish_and_fetch(
                results, letters=self.world.queues[LETTERS].keys.base, token=token, lease_ms=LEASE_MS, worker=name,
                room=room, again=again, suspects=suspects, unread_ms=LEASE_MS if unread else 0,
                larger=larger,
            ),
        )  # fmt: skip
        self.world.steps[-1] = self.world.steps[-1].partition(" -> ")[0] + (
            f" -> {fetched.codes} {[job.id for job in fetched.jobs]} due {fetched.next_due_ms}"
        )
        for job_id in {each.id for each in fetched.jobs} & kept.keys():
            due = kept[job_id] <= fetched.now_ms
            self.world.must(due, f"{queue}/{job_id} waits for a larger worker, and another has fetched it")
        if self._allowed is not None and not again:
            brought = len(fetched.jobs)
            self.world.must(brought <= self._allowed, f"the rate allows {self._allowed} jobs, a call brought {brought}")
        return fetched

    def _kept_for_larger(self, queue: str) -> dict[str, float]:
        """What waits for a larger worker, and until when."""
        if not self.world.now.queues[queue].own.get("larger"):
            return {}
        found = self.world.look().queues[queue]
        delayed = found.plain.get("delayed", {})
        return {job_id: delayed[job_id] // 4096 for job_id in found.own.get("larger") or () if job_id in delayed}

    def _rate_left(self, queue: str) -> int | None:
        """How many jobs the queue's rate allows now; None for no bound."""
        if "max" not in self.world.now.queues[queue].meta:
            return None
        found = self.world.look().queues[queue]
        return max(int(found.meta["max"]) - int(found.plain.get("limiter", 0)), 0)

    def take(
        self, worker: int, queue: str, room: int, token: str, fetched: Fetched, advance: bool,
        suspects: int | None = None, larger: bool = False,
    ) -> None:  # fmt: skip
        if not larger:
            self.asked.append(Asked(worker, queue, room, suspects, fetched, self.world.look(), self._allowed))
        for each in fetched.jobs:
            key, fields = JobKey(queue, each.id), each.fields
            self.workers[worker].holds.append(Held(key, token, fields))
            self.latest[key] = token
            if b"rjk" in fields and advance:
                owner = self.world.queues[queue]
                opts = owner.decode_opts(fields.get(b"opts"))
                schedule = text(fields[b"rjk"])
                self.world.on_queue(
                    f"go on with {schedule} after {key.id}", queue,
                    lambda q, s=schedule, k=key, o=opts: q.schedules.advance(s, k.id, o),
                )  # fmt: skip
