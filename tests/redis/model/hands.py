"""The workers' side: two workers that fetch, settle, renew leases and die, through Crewline's own calls.

What an answer must be follows from who fetched a job last: only that lease counts.
"""

from __future__ import annotations

import json

from crewline import Job, Keep
from crewline.redis.scripts import Fetched, Result
from crewline.wire.retention import KEEP_COMPLETED, KEEP_FAILED, keep_from_wire
from crewline.wire.text import text

from tests.redis.model import clock
from tests.redis.model.picture import JobKey
from tests.redis.model.runs import Asked, Held, Settled, Worker
from tests.redis.model.world import LETTERS, World

LEASE_MS = clock.MINUTE_MS
CHILDREN = (-4, -9)
EXPIRED = -2


class Hands:
    """Two workers of all queues."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.workers = [Worker("w0"), Worker("w1")]
        self.asked: list[Asked] = []
        self.settled: list[Settled] = []
        #: the token of the last fetch of each job: the one lease that counts
        self._latest: dict[JobKey, str] = {}
        self._calls = 0

    def fetch(
        self, worker: int, queue: str, room: int, *, unanswered: bool = False, late: bool = False,
        advance: bool = True, suspects: int | None = None,
    ) -> None:  # fmt: skip
        """Fetches.

        ``unanswered``: the answer is lost, and the repeat must bring the same; ``late``: it arrives after its repeat,
        and must bring nothing.
        """
        self._calls += 1
        token = f"{self.workers[worker].name}:{self._calls}"
        fetched = self._call(worker, queue, room, token, (), again=int(late), suspects=suspects)
        if unanswered and fetched.jobs:
            again = self._call(worker, queue, room, token, (), again=2)
            had, has = (sorted(each.id for each in answer.jobs) for answer in (fetched, again))
            self.world.must(had == has, f"a fetch brought {had}, its repeat {has}")
        for repeat in range(1 + unanswered) if late else ():
            brought = self._call(worker, queue, room, token, (), again=repeat).jobs
            self.world.must(not brought, f"a call that came after its repeat leased {[each.id for each in brought]}")
        self._take(worker, queue, room, token, fetched, advance, suspects)

    def settle(
        self, worker: int, held: Held, outcome: str, *, keep: Keep, delay: int = 0, letter: bool = True, room: int = 0
    ) -> None:
        """Settles one run and fetches, in one call; a run whose lease is not the latest must be refused."""
        if held in self.workers[worker].holds:
            self.workers[worker].let_go(held)
        result = self.result(held, outcome, keep, delay, letter)
        code = self._settle(worker, held, result, room)
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

    def result(self, held: Held, outcome: str, keep: Keep, delay: int, letter: bool) -> Result:
        """How a run ends, as a worker would say it; ``delay`` in minutes."""
        if b"defa" in held.fields and outcome != "back":
            outcome = "failed"
        opts = self.world.queues[held.key.queue].decode_opts(held.fields.get(b"opts"))
        return Result(
            held.key.id, held.token, outcome, {"completed": '{"done":true}', "back": ""}.get(outcome, "broken"),
            delay_ms=delay * clock.MINUTE_MS if outcome == "retry" else 0,
            keep_completed=keep_from_wire(opts.get("removeOnComplete"), keep, KEEP_COMPLETED),
            keep_failed=keep_from_wire(opts.get("removeOnFail"), keep, KEEP_FAILED), letter=letter,
            suspect=b"suspect" in held.fields and outcome != "back", optionless=not opts,
            plain=b"atm" not in held.fields and b"deid" not in held.fields,
        )  # fmt: skip

    def _settle(self, worker: int, held: Held, result: Result, room: int) -> int:
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
        self._calls += 1
        token = f"{self.workers[worker].name}:{self._calls}"
        queue = before.queues[key.queue]
        valid = queue.state(key.id) == "active" and queue.part(key.id, "lock") == held.token
        owed = queue.part(key.id, "dependencies") or queue.part(key.id, "unsuccessful")
        fetched = self._call(worker, key.queue, room, token, (result,))
        (code,) = fetched.codes
        if not valid:
            world.must(code in (-1, -2, -3, -6), f"{key}: a result without a lease was answered {code}")
        elif result.outcome == "completed" and owed:
            world.must(code in CHILDREN, f"{key} completed although children are owed: {code}")
        else:
            world.must(code == 0, f"{key}: a result under the lease was answered {code}")
        world.must(
            code != 0 or self._latest.get(key) == held.token, f"{key}: a result of a run before the last was taken"
        )
        if code and not room:
            world.must(
                world.look().jobs_as_they_are() == before.jobs_as_they_are(), f"{key}: a refused result left traces"
            )
        if code == 0:
            self.settled.append(Settled(held, outcome, letter))
        self._take(worker, key.queue, room, token, fetched, True)
        return code

    def _call(
        self, worker: int, queue: str, room: int, token: str, results: tuple[Result, ...], again: int = 0,
        suspects: int | None = None,
    ) -> Fetched:  # fmt: skip
        # no two fetches are in one millisecond: a start is told from another by its moment
        self.world.run(clock.tick(self.world.redis))
        name = self.workers[worker].name
        told = "".join(f", {each.job_id} {each.outcome}, {each.sent()[-1]}" for each in results)
        fetched: Fetched = self.world.call(
            f"{name} at {queue}: room {room}{told}{f', repeat {again}' if again else ''}"
            + ("" if suspects is None else f", {suspects} suspects at most"),
            lambda: self.world.queues[queue].scripts.finish_and_fetch(
                results, letters=self.world.queues[LETTERS].keys.base, token=token, lease_ms=LEASE_MS, worker=name,
                room=room, again=again, suspects=suspects,
            ),
        )  # fmt: skip
        self.world.steps[-1] = self.world.steps[-1].partition(" -> ")[0] + (
            f" -> {fetched.codes} {[job.id for job in fetched.jobs]} due {fetched.next_due_ms}"
        )
        return fetched

    def _take(
        self, worker: int, queue: str, room: int, token: str, fetched: Fetched, advance: bool,
        suspects: int | None = None,
    ) -> None:  # fmt: skip
        self.asked.append(Asked(worker, queue, room, suspects, fetched, self.world.look()))
        for each in fetched.jobs:
            key, fields = JobKey(queue, each.id), each.fields
            self.workers[worker].holds.append(Held(key, token, fields))
            self._latest[key] = token
            if b"rjk" in fields and advance:
                owner = self.world.queues[queue]
                opts = owner.decode_opts(fields.get(b"opts"))
                schedule = text(fields[b"rjk"])
                self.world.on_queue(
                    f"go on with {schedule} after {key.id}", queue,
                    lambda q, s=schedule, k=key, o=opts: q.schedules.advance(s, k.id, o),
                )  # fmt: skip

    def renew(self, worker: int, *, ended: bool) -> None:
        """Prolongs all leases; ``ended``: those of runs that are over too, as an entry that leaked would."""
        hands = self.workers[worker]
        for queue in {held.key.queue for held in hands.holds + hands.ended}:
            told = [held for held in hands.holds + (hands.ended if ended else []) if held.key.queue == queue]
            # a worker has one entry an id, the newest
            entries = {held.key.id: held for held in hands.ended if held in told} | {
                held.key.id: held for held in hands.holds if held in told
            }
            if not entries:
                continue
            arguments = [each for held in entries.values() for each in (held.key.id, held.token, held.start)]
            lost = self.world.on_queue(
                f"{hands.name} renews {list(entries)}",
                queue,
                lambda q, a=arguments: q.scripts.extend_leases(LEASE_MS, *a),
            )
            for job_id, held in entries.items():
                if job_id in lost:
                    if held in hands.holds:
                        hands.let_go(held)
                else:
                    # one entry that leaked while nobody else has begun the job harms none but itself
                    self.world.must(
                        self._latest.get(held.key) == held.token,
                        f"{held.key}: the lease of a run before the last was taken again ({held.token})",
                    )

    def die(self, worker: int) -> None:
        """The worker is gone, and its leases run out."""
        hands = self.workers[worker]
        self.lose_leases(worker)
        for held in list(hands.holds):
            hands.let_go(held)

    def lose_leases(self, worker: int) -> None:
        """A lease's time passes in which it renews none, though it runs on."""
        hands = self.workers[worker]
        self.world.run(clock.move_on(self.world.redis, LEASE_MS // clock.MINUTE_MS))
        self.world.steps.append(f"the leases of {hands.name} run out")
        for held in hands.holds:
            lock = f"{self.world.queues[held.key.queue].keys.job(held.key.id)}:lock"
            if self.world.now.queues[held.key.queue].part(held.key.id, "lock") == held.token:
                self.world.run(self.world.redis.delete(lock))

    def recover(self, queue: str, most: int, *, once: bool) -> None:
        """A worker's look for jobs without a lease, the time for one having come."""
        owner = self.world.queues[queue]
        self.world.run(self.world.redis.delete(owner.keys.stalled_check))
        self.world.may_end(queue, self.world.now.queues[queue].own.get("cancels") or {})
        self.world.on_queue(
            "look for stalled jobs",
            queue,
            lambda q: q.scripts.recover_stalled(LEASE_MS, most, lease_ms=LEASE_MS, once=once),
        )

    def beat(self, worker: int, queue: str) -> None:
        """Says what it runs; ends what is to be cancelled."""
        hands = self.workers[worker]
        running = [held for held in hands.holds if held.key.queue == queue]
        owner = self.world.queues[queue]
        told, _ = self.world.on_queue(
            f"{hands.name} beats, runs {[held.key.id for held in running]}", queue,
            lambda q: q.scripts.beat(
                owner.keys, hands.name, LEASE_MS, "{}", "", [(each.key.id, each.token) for each in running]
            ),
        )  # fmt: skip
        for job_id, token, _reason in told:
            held = next(held for held in running if (held.key.id, held.token) == (job_id, token))
            self.settle(worker, held, "failed", keep=Keep(), letter=False)

    def mark_alone(self, worker: int, held: Held) -> None:
        self.world.on_queue(
            f"{held.key.id} runs alone", held.key.queue, lambda q: q.scripts.mark_alone(held.key.id, held.token)
        )

    def write(self, held: Held) -> None:
        """Progress and a log line under the lease, as a handler does."""
        job = Job.from_hash(self.world.queues[held.key.queue], held.key.id, held.fields, held.token)
        self.world.call(f"progress of {held.key}", lambda: job.progress(1))
        self.world.call(f"log of {held.key}", lambda: job.log("line"))
