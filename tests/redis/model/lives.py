"""How workers live: they renew leases, sleep, die, and are found to be dead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crewline import Job, Keep
from crewline.redis.scripts import Fetched, Result

from tests.redis.model import clock
from tests.redis.model.picture import JobKey
from tests.redis.model.runs import Held, Recovery, Worker
from tests.redis.model.world import World

LEASE_MS = clock.MINUTE_MS


class Lives:
    """What two workers do beside fetching and settling."""

    world: World
    workers: list[Worker]
    latest: dict[JobKey, str]
    recovered: list[Recovery]

    if TYPE_CHECKING:

        def token(self, worker: int) -> str: ...

        def call(
            self, worker: int, queue: str, room: int, token: str, results: tuple[Result, ...] = (), again: int = 0,
            suspects: int | None = None, unread: bool = False,
        ) -> Fetched: ...  # fmt: skip

        def settle(
            self, worker: int, held: Held, outcome: str, *, keep: Keep, delay: int = 0, letter: bool = True,
            room: int = 0,
        ) -> None: ...  # fmt: skip

    def fetch_asleep(self, worker: int, queue: str, room: int) -> None:
        """A fetch that waited for work in the name of a worker that sleeps: nobody reads its answer yet."""
        token = self.token(worker)
        fetched = self.call(worker, queue, room, token, unread=True)
        self.world.steps[-1] += ", and nobody reads of it"
        for each in fetched.jobs:
            key = JobKey(queue, each.id)
            self.workers[worker].asleep.append(Held(key, token, each.fields, unread=True))
            self.latest[key] = token

    def wake(self, worker: int) -> None:
        """It reads now what was fetched in its name, and says so; what others were given meanwhile is not its own."""
        hands = self.workers[worker]
        # a worker has one entry an id, the newest
        unread = {held.key: held for held in hands.asleep}
        hands.ended += [held for held in hands.asleep if held is not unread[held.key]]
        hands.asleep = []
        for queue in {key.queue for key in unread}:
            told = [held for held in unread.values() if held.key.queue == queue]
            arguments = [each for held in told for each in (held.key.id, held.token, held.start)]
            lost = self.world.on_queue(
                f"{hands.name} wakes, and has read of {[held.key.id for held in told]}", queue,
                lambda q, a=arguments: q.scripts.extend_leases(LEASE_MS, *a),
            )  # fmt: skip
            for held in told:
                if held.key.id in lost:
                    hands.ended.append(held)
                    continue
                self.world.must(
                    self.latest.get(held.key) == held.token,
                    f"{held.key}: {hands.name} has read late, and has the job that another has begun since",
                )
                still = "unread" in (self.world.look().job(held.key) or {})
                self.world.must(not still, f"{held.key}: {hands.name} has read of it, and it is marked as unread")
                hands.holds.append(held)

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
                        self.latest.get(held.key) == held.token,
                        f"{held.key}: the lease of a run before the last was taken again ({held.token})",
                    )

    def die(self, worker: int) -> None:
        """The worker is gone, and its leases run out."""
        hands = self.workers[worker]
        self.lose_leases(worker)
        for held in list(hands.holds):
            hands.let_go(held)
        hands.ended += hands.asleep
        hands.asleep = []

    def hand_back(
        self, worker: int, queue: str, *, blame: bool, most: int, fail_alone: bool, larger_first: bool = False
    ) -> None:  # fmt: skip
        """The worker is gone, and somebody who knows gives what it ran to others before its leases are over."""
        hands = self.workers[worker]
        leases = f"{hands.name}:"
        self.world.may_end(queue, self.world.now.queues[queue].own.get("cancels") or {})
        before = self.world.look()
        there = before.queues[queue]
        had = [each for each in there.within("active") if (there.part(each, "lock") or "").startswith(leases)]
        self.world.on_queue(
            f"{hands.name} is dead", queue,
            lambda q: q.hand_back_worker(
                {"leases": leases, "name": hands.name}, "gone", blame=blame, max_crashes=most, fail_alone=fail_alone,
                larger_first=larger_first,
            ),
        )  # fmt: skip
        for held in [held for held in hands.holds if held.key.queue == queue]:
            hands.let_go(held)
        gone = [held for held in hands.asleep if held.key.queue == queue]
        hands.asleep = [held for held in hands.asleep if held not in gone]
        hands.ended += gone
        if blame:
            sole = had[0] if fail_alone and len(had) == 1 else None
            self.recovered.append(Recovery(queue, before, self.world.look(), sole, larger_first))

    def lose_leases(self, worker: int) -> None:
        """A lease's time passes in which it renews none, though it runs on."""
        hands = self.workers[worker]
        self.world.run(clock.move_on(self.world.redis, LEASE_MS // clock.MINUTE_MS))
        self.world.steps.append(f"the leases of {hands.name} run out")
        for held in hands.holds + hands.asleep:
            lock = f"{self.world.queues[held.key.queue].keys.job(held.key.id)}:lock"
            if self.world.look().queues[held.key.queue].part(held.key.id, "lock") == held.token:
                self.world.run(self.world.redis.delete(lock))

    def recover(self, queue: str, most: int, *, once: bool) -> None:
        """A worker's look for jobs without a lease, the time for one having come."""
        owner = self.world.queues[queue]
        self.world.run(self.world.redis.delete(owner.keys.stalled_check))
        self.world.may_end(queue, self.world.now.queues[queue].own.get("cancels") or {})
        before = self.world.look()
        self.world.on_queue(
            "look for stalled jobs",
            queue,
            lambda q: q.scripts.recover_stalled(LEASE_MS, most, lease_ms=LEASE_MS, once=once),
        )
        self.recovered.append(Recovery(queue, before, self.world.look()))

    def beat(self, worker: int, queue: str) -> None:
        """Says what it runs; ends what is to be cancelled."""
        hands = self.workers[worker]
        running = [held for held in hands.holds if held.key.queue == queue]
        told = self.world.on_queue(
            f"{hands.name} beats, runs {[held.key.id for held in running]}", queue,
            lambda q: q.scripts.beat(
                hands.name, hands.name, LEASE_MS, "{}", "", [(each.key.id, each.token) for each in running]
            ),
        ).cancels  # fmt: skip
        for job_id, token, _reason in told:
            held = next(held for held in running if (held.key.id, held.token) == (job_id, token))
            self.settle(worker, held, "failed", keep=Keep(), letter=False)

    def mark_alone(self, worker: int, held: Held) -> None:
        held.alone = self.world.on_queue(
            f"{held.key.id} runs alone", held.key.queue, lambda q: q.scripts.mark_alone(held.key.id, held.token)
        ) == 0  # fmt: skip

    def write(self, held: Held) -> None:
        """Progress and a log line under the lease, as a handler does."""
        job = Job.from_hash(self.world.queues[held.key.queue], held.key.id, held.fields, held.token)
        self.world.call(f"progress of {held.key}", lambda: job.progress(1))
        self.world.call(f"log of {held.key}", lambda: job.log("line"))
